"""HTTP beneath the routes: server, middleware, bodies, waiting, stored answers, OpenAPI texts."""
