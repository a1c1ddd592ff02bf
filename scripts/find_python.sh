#!/bin/sh
# Print the Python that the lab is set up with: the one that made .venv, else the newest of 3.14 to 3.11 (arm64: 3.12) that
# works.
#
#   sh scripts/find_python.sh [--fetch | --all | VERSION]
#
# It is looked for on the PATH, among pyenv's and among uv's. --fetch: where there is none, uv fetches one; where uv
# cannot, one sentence says what to do. --all: one of each version, newest first. VERSION: that one, as in 3.13. Nothing is
# printed when none is found.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
pyenvs=${PYENV_ROOT:-$HOME/.pyenv}/versions
uvs=${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/uv/python}
versions="3.14 3.13 3.12 3.11"
[ "$(uname -m)" != aarch64 ] || versions="3.14 3.13 3.12" # scripts/setup.py says why
wanted="Python ${versions##* } to ${versions%% *}"
preferred=3.13 # the function's own

# Print the Python behind a command if it is CPython $2 and has what the set-up needs.
works() {
	"$1" -c 'import ctypes, ensurepip, ssl, sys, venv, zlib
given = "%d.%d" % sys.version_info[:2]
assert given in sys.argv[1].split() and sys.implementation.name == "cpython"
print(getattr(sys, "_base_executable", sys.executable))' "$2" 2>/dev/null
}

# Print the first that works of the places where Python $1 may be.
find_version() {
	for place in "python$1" python3 python "$pyenvs/$1".*/bin/"python$1" "$uvs/cpython-$1".*-linux-*/bin/"python$1"; do
		works "$place" "$1" && return
	done
	return 1
}

find_newest() {
	for version in $versions; do
		find_version "$version" && return
	done
	return 1
}

case ${1:-} in
--all)
	for version in $versions; do
		find_version "$version"
	done
	exit 0 # whichever of them was found
	;;
3.*) find_version "$1" ;;
*)
	made_by=$(sed -n 's/^executable = //p' "$root/.venv/pyvenv.cfg" 2>/dev/null)
	[ -n "$made_by" ] && works "$made_by" "$versions" && exit
	find_newest && exit
	[ "${1:-}" = --fetch ] || exit 0
	if command -v uv >/dev/null; then
		echo "No $wanted was found: uv fetches Python $preferred." >&2
		uv python install --quiet "$preferred" >/dev/null 2>&1 && find_newest && exit
		why="; uv could not fetch one, and 'uv python install $preferred' says why"
	fi
	echo "set-up: $wanted with venv was not found: install it (Debian, Ubuntu: apt-get install python3" \
		"python3-venv; Fedora: dnf install python3; macOS: in a Linux container, as of .devcontainer), or uv, which fetches" \
		"one, or name one: make PYTHON=/path/to/python3.13${why:-}" >&2
	exit 1
	;;
esac
