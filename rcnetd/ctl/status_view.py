"""The rows of `rcnetctl status`, from the content of `status.json`. Pure."""

from __future__ import annotations

from typing import Any

from rcnetd.basic.text import duration

FAILED = ("FAILED", "STOPPED")
Row = tuple[str, str, str]  # name, text, tone (of `terminal.COLOURS`, or none)


def headline(content: dict[str, Any], *, running: bool) -> tuple[str, str]:
    """Return the first line and its tone: good, busy or bad."""
    if running:
        tone = "good" if content["ready"] else "bad" if content["state"] in FAILED else "busy"
        return content["headline"], tone
    end = content["exit"]
    return (f"not running: {end['reason']}", "bad") if end else ("not running", "bad")


def rows(content: dict[str, Any], now: float, *, running: bool) -> list[Row]:
    """Return a row for each thing that is known.

    If the daemon has ended, they show what was true when it ended.
    """
    found = [_state(content, now, running)]
    if content["exit"]:
        found.append(("Exit code", str(content["exit"]["code"]), "bad"))
    if content["configured_by"]:
        found.append(("Network", _configured_by(content), ""))
    found += _platform(content["metadata"])
    found += _network(content, now)
    found += _answers(content, now)
    found += _requests(content, now, running)
    found += _fetcher(content.get("fetcher"))  # an older daemon's status has none
    return found


def written(outcome: dict[str, Any] | None) -> list[Row]:
    """Return a row for the result of the last `rcnetctl persist`, if there is one."""
    if outcome is None:
        return []
    if not outcome["ok"]:
        return [("Persisted", f"no: {outcome['reason']}", "bad")]
    files = ", ".join(outcome["files"]) or "nothing to write, the route was there already"
    return [("Persisted", f"{outcome['renderer']}: {files}", "")]


def live(content: dict[str, Any], now: float) -> str:
    """Return one line for a person who waits: the state, since when, the next request."""
    parts = [content["headline"], f"since {duration(now - content['since'])}"]
    requests = content["requests"]
    if requests["next_at"] and not content["ready"]:
        parts.append(f"next request in {duration(requests['next_at'] - now)}")
    if requests["last_failure"]:
        parts.append(requests["last_failure"]["reason"])
    return "; ".join(parts)


def _state(content: dict[str, Any], now: float, running: bool) -> Row:
    if running:
        return ("State", f"{content['state']} for {duration(now - content['since'])}", "")
    return ("State", f"{content['state']}, ended {duration(now - content['at'])} ago", "")


def _configured_by(content: dict[str, Any]) -> str:
    name = {"rcnetd": "rcnetd", "rackconnect": "RackConnect"}[content["configured_by"]]
    return f"configured by {name}: {content['configured_by_reason']}"


def _platform(metadata: dict[str, Any]) -> list[Row]:
    found: list[Row] = []
    sources = metadata["sources"]
    if metadata["region"]:
        found.append(("Region", f"{metadata['region']} ({sources.get('region', 'platform')})", ""))
    if metadata["automation_status"]:
        source = sources.get("automation_status", "platform")
        found.append(("At boot", f"{metadata['automation_status']} ({source})", ""))
    return found


def _network(content: dict[str, Any], now: float) -> list[Row]:
    found: list[Row] = []
    servicenet, gateway, route = content["servicenet"], content["gateway"], content["route"]
    if servicenet:
        text = f"{servicenet['interface']} {servicenet['address']}: {servicenet['why']}"
        found.append(("ServiceNet", text, ""))
    if content["public"]:
        text = f"{content['public']['interface']}: {content['public']['why']}"
        found.append(("Public", text, ""))
    if gateway["address"]:
        remembered = ", remembered" if gateway["remembered"] else ""
        found.append(("Gateway", f"{gateway['address']}{remembered}", ""))
        times = f", repaired {_times(route['repairs'])}" if route["repairs"] else ""
        word = "in effect" if route["in_effect"] else "not in effect"
        tone = "good" if route["in_effect"] else "bad"
        found.append(("Route", f"{word}{times}", tone))
    elif gateway["candidate"]:
        found.append(("Gateway", f"{gateway['candidate']}, not in use yet", "busy"))
    if gateway["rejected"]:
        found.append(("Rejected", f"gateway {gateway['rejected']}", "bad"))
    repair = route.get("last_repair")  # an older daemon's status has none
    if repair:
        text = f"{duration(now - repair['at'])} ago: {repair['reason']}"
        found.append(("Repaired", text, "busy" if route["in_effect"] else "bad"))
    if route["fighting"]:
        text = "another program keeps replacing the route; rcnetd repairs it every 10 s"
        found.append(("Fight", text, "bad"))
    found += [("Diverted", text, "bad") for text in route["diversions"]]
    return found


def _fetcher(confinement: dict[str, Any] | None) -> list[Row]:
    if confinement is None:
        return []
    landlock, seccomp = confinement["landlock"], confinement["seccomp"]
    parts = [f"Landlock {landlock}"] * (landlock > 0) + ["seccomp"] * seccomp
    if not parts:
        return [("Fetcher", "not confined: this kernel has neither Landlock nor seccomp", "busy")]
    return [("Fetcher", f"confined by {' and '.join(parts)}", "")]


NAMES = {"gateway_ip": "Gateway", "automation_status": "Automation"}


def _answers(content: dict[str, Any], now: float) -> list[Row]:
    """The last automation status, and the last answer about the gateway while none is in use."""
    found: list[Row] = []
    answers, shown = content["answers"], content["gateway"]
    for operation, name in NAMES.items():
        answer = answers.get(operation)
        if answer is None or (name == "Gateway" and (shown["address"] or shown["candidate"])):
            continue
        age = f"asked {duration(now - answer['at'])} ago"
        tone = "good" if answer.get("status") == "DEPLOYED" else "busy"
        found.append((name, f"{answer['answer']}, {age}", tone))
    source = content["automation"]["source"]
    if source:
        found.append(("Automation", f"DEPLOYED {source}", "busy"))
    return found


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _requests(content: dict[str, Any], now: float, running: bool) -> list[Row]:
    requests, found = content["requests"], []
    if running:
        soon = ""
        if requests["next_at"]:
            soon = f", next in {duration(requests['next_at'] - now)}"
        text = f"{requests['used']} of {requests['limit']} this minute{soon}"
        found.append(("Requests", text, ""))
    if requests["last_failure"]:
        found.append(("Failure", requests["last_failure"]["reason"], "bad"))
    return found
