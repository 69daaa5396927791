# SPDX-License-Identifier: MIT
"""250 means on disk: restarts, kills and full disks. The long versions are in tests/torture."""
import pathlib
import smtplib
import sys
import time

import pytest
from lab import ground, mail, policies
from lab.scripted import Slow

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "torture"))

pytestmark = [pytest.mark.core, pytest.mark.threads]
HOLD = policies.policy('route = function() return route.hold("stays") end')


def test_restart_goes_on(gateway, scripted, word):
    peer = scripted(greeting="421 4.3.2 closed")
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    bodies = {}
    for i in range(20):
        body = "".join(f"{n} " + "z" * (n % 70) + "\r\n" for n in range(i * 200))
        bodies[f"{word}n{i}"] = body
        g.submit(f"{word}n{i}", text=mail.message(f"{word}n{i}", body=body))
    before = {(r["id"], r["n"]) for r in g.until_queue(20)}
    g.restart()
    assert {(r["id"], r["n"]) for r in g.queue()} == before
    peer.set(greeting=None)
    g.restart()
    g.advance_clock(7200)
    ground.until("all 20 arrive", lambda: len(peer.accepted) >= 20, log=g.log)
    for name, body in bodies.items():
        assert peer.wait(name).raw.endswith(b"\r\n\r\n" + body.encode())
    g.until_empty()
    assert len(peer.accepted) == 20


def test_kill_right_after_250(gateway, word):
    g = gateway(policy=HOLD)
    for i in range(10):
        g.submit(f"{word}n{i}")
        g.kill9()
        g.start()
        assert len(g.queue()) == i + 1
    ids = [r["id"] for r in g.queue()]
    assert len(set(ids)) == 10 and ids == sorted(ids)
    g.stop()
    assert g.cli("check", "--store").returncode == 0


def test_what_was_acknowledged_is_seen_at_once(gateway, word):
    """The 250 comes before the commit; whoever asks then is told of it all the same."""
    g = gateway(policy=HOLD)
    with smtplib.SMTP(g.host, g.RELAY, "client.example", timeout=10) as s:
        s.ehlo()
        for i in range(40):
            said = s.docmd("MAIL", "FROM:<a@home.example>"), s.docmd("RCPT", f"TO:<{word}n{i}@example.net>")
            assert [code for code, _ in said] == [250, 250]
            code, reply = s.data(mail.message(f"{word}n{i}"))
            assert code == 250
            id = reply.split()[-1].decode()
            if i % 2:
                assert len(g.queue()) == i + 1
                assert g.control("queue", action="show", id=id)[0]
            else:
                assert g.status()["messages"] == i + 1
                assert any(row.get("id") == id for row in g.queue(limit=1000))


def test_stopping_finishes_what_is_under_way(gateway, scripted, word):
    """SIGTERM in the middle of a delivery: it is finished, or given back; the message arrives once."""
    from lab.scripted import SlowRead
    peer = scripted(dot=(SlowRead(1.0), "250 kept"))
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"))
    g.submit(word)
    peer.until_line("DATA")
    g.restart()
    peer.wait(word)
    g.until_empty()
    assert len(peer.accepted) == 1


def test_stopping_does_not_wait_for_peers_that_say_nothing(gateway, scripted, word):
    """What no peer has begun to hear goes back into the queue at once, not after the patience of a graceful end."""
    from lab.scripted import Hang
    greeting, ehlo = scripted(greeting=Hang()), scripted(ehlo=Hang())
    g = gateway(policy=policies.PRELUDE + f"""return {{ route = function(m, r)
        return route.send{{ tls = "none", via = route.relay{{ tls = "none", host = r.local_part == "a" and "{greeting.host}" or "{ehlo.host}", port = {ehlo.port} }} }} end }}""")
    g.submit(f"{word}a", to="a@b.example")
    g.submit(f"{word}b", to="b@b.example")
    ehlo.until_line("EHLO")
    ground.until("both are being talked to", lambda: g.status()["connections_out"] == 2, log=g.log)
    g.stop(seconds=10)
    g.start()
    assert [r["attempts"] for r in g.queue()] == [0, 0]


def test_two_gateways_never_share_a_store(gateway):
    g = gateway(policy=HOLD)
    second = gateway(policy=HOLD, start=False, listeners=[{"name": "relay", "kind": "relay", "address": f"{ground.address()}:2525"}])
    second.configure(store={"path": str(g.folder / "var/queue")})
    second.start(wait=False)
    assert second.process.wait(10) not in (0, None)
    assert "queue" in second.said()
    assert g.status()
    second.process = None


def test_wrong_configuration_is_78(gateway):
    for broken, words in ((dict(listeners=[]), "listeners"), (dict(certificate="nowhere.pem"), "nowhere.pem"), (dict(scripts="nowhere"), "nowhere"),
                          (dict(users="nowhere"), "nowhere"), (dict(store={"reserve": "lots"}), "store.reserve"), (dict(hostnam="x"), "hostname")):
        g = gateway(policy=HOLD, start=False)
        g.configure(**broken)
        g.start(wait=False)
        assert g.process.wait(10) == 78, (broken, g.said())
        assert words in g.said(), (broken, g.said())
        g.process = None


def test_port_that_is_taken(gateway):
    import socket
    g = gateway(policy=HOLD, start=False)
    with socket.create_server((g.host, g.RELAY)):
        g.start(wait=False)
        code = g.process.wait(10)
        assert code in range(69, 79) and str(g.RELAY) in g.said(), (code, g.said())
    g.process = None


def test_sigint_twice_ends_at_once(gateway, scripted, word):
    import signal
    from lab.scripted import Hang
    peer = scripted(dot=Hang())
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"), delivery={"timeout": "300s"})
    g.submit(word)
    peer.until_line("DATA")
    g.disconnect()
    g.process.signal(signal.SIGINT)
    ground.until("the first has been heard", lambda: "stopping" in g.said())  # two that wait together would be one
    g.process.signal(signal.SIGINT)
    assert g.process.wait(10) is not None
    g.process = None


# ---- disk full

def fill(folder):
    """Takes what the disk has, to the last byte."""
    with open(folder / "filler", "ab", buffering=0) as f:
        for size in (65536, 4096, 1):
            try:
                while f.write(b"x" * size) == size:
                    pass
            except OSError:
                pass


def test_full_disk(gateway, scripted, small_disk, word):
    """New mail hears 452 before the disk is quite full, queued mail keeps leaving, intake resumes by itself."""
    peer = scripted(greeting="421 4.3.2 closed")
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"), store={"path": str(small_disk / "queue"), "segment": "2MiB", "reserve": "4MiB"})
    text = mail.message(word, body=("w" * 70 + "\r\n") * 7000)
    taken = 0
    for _ in range(100):
        try:
            g.submit(word, text=text)
            taken += 1
        except smtplib.SMTPResponseException as e:
            assert e.smtp_code == 452 and b"4.3.1" in e.smtp_error, e
            break
        except smtplib.SMTPSenderRefused as e:
            assert e.smtp_code == 452, e
            break
    else:
        raise AssertionError("100 messages of 500 KB fitted into 24 MiB")
    assert taken >= 10
    assert len(g.queue()) == taken
    peer.set(greeting=None)
    g.advance_clock(7200)
    ground.until("what is queued leaves", lambda: len(peer.accepted) == taken, 30, log=g.log)
    g.until_empty()

    def taken_again():
        try:
            g.submit(word + "after")
            return True
        except smtplib.SMTPException:
            return False
    ground.until("new mail is taken again", taken_again, 20, log=g.log)
    peer.wait(word + "after")
    assert len(peer.accepted) == taken + 1


def test_disk_filled_by_somebody_else(gateway, scripted, small_disk, word):
    """The disk has no byte left: nothing acknowledged is lost, and deliveries are still recorded once there is room."""
    peer = scripted(greeting="421 4.3.2 closed")
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none"), store={"path": str(small_disk / "queue"), "segment": "2MiB", "reserve": "1MiB"})
    for i in range(5):
        g.submit(f"{word}n{i}")
    fill(small_disk)
    expected = [f"{word}n{i}" for i in range(5)]
    try:  # what was laid out before may have room for one more: then it counts like the others
        g.submit(word + "more")
        expected.append(word + "more")
    except smtplib.SMTPResponseException as e:
        assert e.smtp_code == 452, e
    except smtplib.SMTPSenderRefused as e:
        assert e.smtp_code == 452, e
    assert g.alive()
    (small_disk / "filler").unlink()
    peer.set(greeting=None)

    def arrived():
        g.advance_clock(3600)
        return all(peer.find(w) for w in expected)
    ground.until("all acknowledged mail arrives", arrived, 30, every=0.5, log=g.log)
    g.until_empty(30)
    assert len(peer.accepted) == len(expected)


def test_outcomes_wait_for_a_full_disk(gateway, scripted, small_disk, word):
    """What a peer has taken while the disk had no byte left is written down once there is room, and never sent again; until then no more is sent."""
    peer = scripted(greeting="421 4.3.2 closed")
    # A decision that becomes one of many words: what is written of an outcome outweighs by far what it frees.
    words = f' because = string.rep("why ", clock.now() > {int(time.time()) + 3600} and 490 or 1),'
    g = gateway(policy=policies.relay(peer.host, peer.port, tls="none", extra=words),
                store={"path": str(small_disk / "queue"), "segment": "2MiB", "reserve": "1MiB"})
    names = [f"{word}n{i}" for i in range(120)]
    for name in names:
        g.submit(name)
    fill(small_disk)
    peer.set(greeting=None, dot=Slow("250 2.0.0 ok", 0.01))  # all of them would take longer than a commit
    g.advance_clock(7200)

    def pauses():
        fill(small_disk)  # the reserve too, which the store gives up
        return g.status()["store"]["unwritten"]
    ground.until("an outcome is kept", pauses, log=g.log)
    ground.until("connections end", lambda: g.status()["connections_out"] == 0, log=g.log)
    assert 0 < len(peer.accepted) < len(names)

    def sample():
        status = g.status()
        return status["store"]["unwritten"] and not status["connections_out"], status["store"]["commits"], len(peer.accepted)
    for _ in range(5):  # while it is tried again. The store's reserve may have room for one: then more go, until the next is kept
        fill(small_disk)
        before = sample()
        g.advance_clock(600)
        time.sleep(0.5)
        after = sample()
        if before[0] and after[0] and before[1] == after[1]:
            assert before[2] == after[2], "nothing was written, and more was sent"
    (small_disk / "filler").unlink()
    ground.until("outcomes are written", lambda: not g.status()["store"]["unwritten"], log=g.log)
    ground.until("all leave", lambda: g.advance_clock(3600) and not g.queue(), 30, log=g.log)
    assert len(peer.accepted) == len(names)
    assert all(peer.find(name) for name in names)
    g.stop()
    assert g.cli("check", "--store").returncode == 0


# ---- torture, in small

def test_kill_loop(request, gateway):
    import kill
    kill.run(kills=ground.amount("KILLS", 40, 10), seconds=None)


def test_backlog():
    import backlog
    backlog.run(messages=ground.amount("BACKLOG", 3000, 1000))
