"""`rcnetctl fleet`: the automation status of many servers, through the Cloud Servers API.

    servers    one server as the API lists it; which servers are selected; how many are where
    failures   why a cloud or a region gave no answer, and the exit code for it
    clouds     clouds.yaml and OS_*: login, the regions of the catalog; the door to openstacksdk
    reader     all pages of a list of servers: time-outs, Retry-After, a marker that vanished
    watch      the servers of one region over time: full lists, and changes in between
    collect    all regions at once, none of which can hold up the others
    gate       whether a wait is over, and the exit code
    formats    table, json, csv, names, Prometheus
    ansible    an inventory
    waiting    lists at an interval until it is decided
    progress   counts, rate and the time left
    live       what a terminal or a log shows during a wait
    command    the command line

Imported by `rcnetctl fleet` only: the daemon and the other commands need none of it.
"""
