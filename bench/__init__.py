"""How fast the picture reaches the screen, and what it costs: `python -m bench`.

    source.py    plays QEMU: a frame buffer of one colour, and the calls that change it
    screen.py    an X server, and its frame buffer as a file that we can read
    floor.c      the bare viewer in C that every figure stands beside
    viewers.py   the command lines of the viewers, and one of them running
    measure.py   the questions
    report.py    JSON, tables, limits
    recorded.py recorded.json    the ratios that were reached
    process.py   what the kernel knows of a process: CPU time, memory, load

`python -m bench.table`: both presenters beside what they are to reach.

    table.py targets.py figures.py    the questions, the limits, the answers
    flood.py     pictures a second
    raw.py reader.c    answers and bodies, beside a poll loop in C
    dmabuf.py    updates of dma-bufs, beside a memcpy
    pointer.py   input
    start.py bare.py   start, beside a bare window

`python -m bench.stages`: where the time goes inside of glview.

`python -m bench.block`: how long a guest's GPU stands still.

    block.py     the figures and their limits
    windows.py   windows that are seen, or not
    draw.py      what the copy of a dma-buf costs alone
    cover.py minimise.py    a window over all others; a viewer that minimises itself

`python -m bench.scaling`: from 720p to 8K, from one pixel to all of them.

`python -m bench.consoles`: several consoles of one VM.

`python -m bench.endurance`: a minute's flood, and what it leaves behind.

    hose.py      the source, in a process of its own

`python -m bench.plots RESULT.json...`: pictures (pip install 'glview[bench]').

`python -m bench.rivals`: real QEMU, seen through glview, the floor, QEMU's windows and VNC.

    rivals.py    who takes part
    contest.py scores.py   the questions, the tables
    guest.py payload.py    QEMU, and what runs in it

`python -m bench.page docs/performance.md` runs all but the floods, and the rivals, which
scripts/rivals installs first.
Method and meaning of the figures: docs/performance.md.
"""
