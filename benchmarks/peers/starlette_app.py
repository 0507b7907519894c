"""One file by Starlette's FileResponse: what a usual Python service does for downloads."""

import os

from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route


async def film(request):
    return FileResponse(os.environ["FILM"], media_type="video/mp4")


app = Starlette(routes=[Route("/film.mp4", film)])
