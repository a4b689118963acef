"""Ports are found for servers that do not listen yet."""

from __future__ import annotations

from bridge.local import ports


def test_a_port_is_given_once() -> None:
    """Nine Redis servers and a broker are given theirs before any of them listens."""
    given = [port for _ in range(100) for port in ports.pick(5)]
    assert len(set(given)) == len(given)


def test_a_port_that_was_found_free_is_kept_for_whoever_looked() -> None:
    kept = [port for port in ports.FREE if ports.is_free(port)][-900:]
    given = [port for _ in range(20) for port in ports.pick(3)]
    assert set(kept).isdisjoint(given)
