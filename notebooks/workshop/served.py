"""An extension of Jupyter's server: it prints where the server is when Jupyter itself does not.

`make lab` turns it on (scripts/jupyter). Jupyter prints its address only together with a token that it made up.
"""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Nothing yet: the port is not bound before all extensions are there."""


async def _start_jupyter_server_extension(app: Any) -> None:
    if not app.identity_provider.token_generated:
        asks = ", and asks for the token or the password that you gave it" if app.identity_provider.auth_enabled else ""
        print(f"JupyterLab is at {app.display_url.split()[0].partition('?')[0]}{asks}", flush=True)
