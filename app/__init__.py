"""The Streamlit app: browse features and circuits, render live, teach.

    command.py    `featviz app`
    serving.py    the server: this machine only, image folders of the atlases and nothing else
    library.py    which atlases are open, which models can be loaded
    main.py       the script that Streamlit runs: one page of views/
    links.py      what is looked at <-> the URL
    networks.py   the networks it computes with
    jobs.py       renders that were asked for, one at a time; render_host.py starts the process of
                  render_process.py, which makes them; keeping.py says where they stay
    components/   the grid of units, the circuit, the diagram of a network: plain JavaScript
    views/        one file a page

Last of the flow: it may import featviz and circuits, and nothing imports it. Only here is
streamlit imported.
"""
