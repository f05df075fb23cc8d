"""A small hand-written circuit graph for tests, with a label that tries to be a script."""

import io

from PIL import Image

from circuits.graphs.graph import CircuitGraph, Edge, Node, Tuning

NASTY = '</script><img src=x onerror="missing()">&<b>"\''


def png(color: str = "#884422") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


def small_graph() -> CircuitGraph:
    tuning = Tuning("curve", 360, (0.0, 1.0, 2.5, 1.0))
    return CircuitGraph(
        (
            Node("low:0", "low", (0,), image=png(), score=0.25),
            Node("low:1", "low", (1,), label=NASTY, score=0.5),
            Node("mid:3", "mid", (3,), label="a rather long label that needs several lines"),
            Node("mid:4", "mid", (4,), tuning=Tuning("line", 180, (1.0, 0.0))),
            Node("top:2", "top", (2,), image=png("#224488"), tuning=tuning),
        ),
        (
            Edge("low:0", "mid:3", 0.5, ((0.125, -0.75), (0.0, 1 / 3)), 1.5),
            Edge("low:1", "mid:3", -0.25, ((-0.5,),)),
            Edge("low:1", "mid:4", 2.0),
            Edge("mid:3", "top:2", 4.0, ((1.0, 2.0, 3.0),), 3.0),
            Edge("mid:4", "top:2", -1.0, ((-1.0,),), 3.0),
        ),
        {"model": "hand-made", "target": "top:2", "score": "weights", "sites": "low, mid"},
    )
