"""HTTP beneath the routes: what is done here instead of by FastAPI or uvicorn, and why.

The figures are of docs/performance.md: a submit takes about 930 µs of processor time in the
application, a bare FastAPI route 720.

Requests:
- `bodies`: FastAPI knows one media type for a route, and reads its body before the key is checked.
  Ours are JSON or a form, read after that.
- `headers`: each header that FastAPI reads costs 25 to 40 µs, as much as checking a body.
- `bounds`: pydantic makes an error of 1 KB for each unknown field, and FastAPI has no bound of
  their number; here each text, list and object has one.
- `body_budget`: Starlette reads a body of any size; all bodies of a process have one limit.
- `middleware`: layers as plain ASGI, for an id, security headers, errors and a largest body.
  Starlette's `BaseHTTPMiddleware` passes each message of a stream through a task of its own.
- `rate_limit`, `listener_limit`: limits for each owner of keys, which FastAPI does not have.
- `cors`: Starlette's, with errors of our shape. It is within `RequestId`, and around the rest.
- `head`: Starlette's routes have a HEAD with each GET, FastAPI's have none.
- `fields`: numbers as texts, and names in any case, as clients of other servers send them.
- `proxy`: uvicorn's layer knows no prefix and no host, and FastAPI's `root_path` is one for all
  requests, with the prefix cut off or none.
- `loopback`: refuses requests from other machines until there is a key; only a request has the
  address at which the server listens.

Answers:
- `openapi`: FastAPI's description lacks what is read here, and has a 422 that never happens.
- `errors`: a status and one shape for every error, in place of FastAPI's `detail`.
- `stored_response`: Starlette's `FileResponse` sends files of a disk; ours are in a storage, which
  may be away in the middle of one.
- `access_log`: a line without the tokens and paths that uvicorn's log has.
- `limited_threads`: FastAPI has 40 threads for all plain functions; slow calls would take them all.

The server:
- `server`: uvicorn's processes share a socket, and the first to wake takes a burst of connections:
  540 submits a second with two processes. Each of ours has a socket of its own: 1,155. And a
  process that gets SIGTERM exits with 0 here, and is not ended by the signal.
- `header_timeout`: uvicorn waits for a request's head without end, and leaves Nagle's algorithm on
  in several processes, which costs each answer 40 ms.

Nothing here imports jobs, batches, speech, voices, webhooks or documents; `api.app` gives `openapi`
the models of their requests.
"""
