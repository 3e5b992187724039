"""``kinesink doctor``: what keeps events from a stream, found before they are missed.

Law: a check looks at one thing and returns a :class:`~.results.Result`; it prints nothing and
raises nothing for what service, network, credentials or settings do. The table in :mod:`.table`
says in which order they come and which needs which; :mod:`.report` shows what they found.
"""
