"""The reference application: a small web shop that shows what a release of Cakravia Verify expects of an application.

__main__.py       reads the environment, starts the server, gives the exit status
environment.py    what the slot was told: address, slot, version, limits
misbehaviour.py   the seeded bad releases
application.py    the front: every request is counted, logged, identified and answered
routes.py         which endpoint answers which path
shop.py           the page and the small user endpoints
order_routes.py   orders over HTTP
orders.py         the order store: each order executed exactly once, shared by both slots
transfer.py       uploads and downloads
streams.py        server-sent events, long poll, WebSocket
health.py         the three health endpoints
deployment.py     the deployment status
vitals.py         memory, CPU, event-loop lag and growth of this process
reachability.py   whether another service answers
request_log.py    one line when a request begins, one when its answer is complete
answers.py        responses that carry the checksum of their body
drain.py          the moment this process was told to stop
server.py         uvicorn, made to stop without losing a request
check.py          `python -m reference_app.check`, for container health checks
"""
