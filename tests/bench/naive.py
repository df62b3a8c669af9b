"""What one would write at first: both libraries, one dump, one request."""

import sys

import requests
from pyroute2 import IPRoute

with IPRoute() as kernel:
    addresses = [message.get_attr("IFA_ADDRESS") for message in kernel.get_addr(family=2)]
if any(address.startswith("10.") for address in addresses):
    requests.get(sys.argv[1], verify=sys.argv[2], timeout=10)
