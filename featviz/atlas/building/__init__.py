"""Build an atlas: what is asked for, what is to do, who renders it, and how far it is.

One file an idea, in this order: request, plan (jobs with keys, in batches), worker (renders them),
process and executors (where workers run), build (drives them and keeps what they send), status.
"""
