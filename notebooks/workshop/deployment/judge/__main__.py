"""Judge this checkout: `python -m workshop.deployment.judge`. Exit status 1 where there is a finding."""

import sys

from . import judge_files


def main() -> int:
    found = judge_files()
    for finding in found:
        print(finding)
    print(f"{len(found)} findings" if found else "nothing was found that AWS would reject")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
