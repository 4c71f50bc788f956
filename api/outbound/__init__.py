"""Requests to URLs that clients name: to public places only, and within bounds.

What such a request must not become is a way into the network that this process is in.
"""

from api.outbound.addresses import Resolver
from api.outbound.outbound import Answer, Outbound
from api.outbound.urls import parse

__all__ = ["Answer", "Outbound", "Resolver", "parse"]
