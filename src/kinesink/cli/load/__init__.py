"""``kinesink load``: events at a rate through a real sink, and what became of each.

Law: every event that was handed over is in the account in the end, as delivered, dropped or
pending, whoever ends the run.
"""
