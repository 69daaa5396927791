# SPDX-License-Identifier: MIT
"""`tidegate test` as an operator runs it: what it prints, and its exit code."""
import json
import os
import pathlib
import subprocess
import time
import xml.etree.ElementTree as xml

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("TIDEGATE_BINARY", str(TOP / "build" / "tidegate"))

POLICY = """local route = require "route"
return {
  route = function(message, recipient)
    if recipient.domain == "held.example" then
      return route.hold "as agreed"
    end
    return route.send { via = route.direct {}, because = "straight" }
  end,
}
"""
GOOD = """local story = require "story"
story("mail goes straight out", function(t)
  local m = t:session { trusted_network = true }:message { from = "a@b.example", to = "c@d.example" }
  m:route():expect { kind = "send", via = "direct" }
end)
"""
BAD = """local story = require "story"
story("mail goes by relay", function(t)
  local m = t:session { trusted_network = true }:message { from = "a@b.example", to = "c@d.example" }
  m:route():expect { via = "relay" }
end)
"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "scripts" / "deep").mkdir(parents=True)
    (tmp_path / "conf" / "tidegate.lua").write_text(
        f'return {{ listeners = {{ {{ kind = "relay", address = "127.0.0.1:2525" }} }}, stdlib = "{TOP}/stdlib", certificate = "not/there.pem" }}')
    (tmp_path / "scripts" / "policy.lua").write_text(POLICY)
    (tmp_path / "scripts" / "good.story.lua").write_text(GOOD)
    return tmp_path


def tell(site, *arguments, **options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")}
    return subprocess.run([BINARY, "test", *arguments], cwd=site, env=environment, capture_output=True, text=True, timeout=60, **options)


def test_stories_that_hold(site):
    done = tell(site)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "ok    good.story.lua:2  mail goes straight out\n1 passed, 0 failed\n"


def test_a_story_that_fails(site):
    (site / "scripts" / "deep" / "bad.story.lua").write_text(BAD)
    done = tell(site)
    assert done.returncode == 1
    for part in ["FAIL  deep/bad.story.lua:2  mail goes by relay\n", "deep/bad.story.lua:4: route for <c@d.example> is not as expected\n",
                 'via: expected "relay", got {"kind":"direct","port":25}\n', "policy.lua:7, because: straight", "1 passed, 1 failed\n"]:
        assert part in done.stdout, done.stdout
    rows = [json.loads(line) for line in tell(site, "--json").stdout.splitlines()]
    assert [r.get("passed") for r in rows] == [False, True, 1]
    assert rows[0]["failed_at"] == "deep/bad.story.lua:4"
    assert rows[0]["trace"][-1]["decision"]["where"] == "policy.lua:7"
    assert rows[-1] == {"passed": 1, "failed": 1}
    assert tell(site, "--only", "straight").returncode == 0
    assert tell(site, "--only", "no such story").returncode == 66
    assert tell(site, "scripts/good.story.lua").returncode == 0


def test_a_story_file_that_does_not_load_fails(site):
    (site / "scripts" / "slip.story.lua").write_text("local story = require 'story'\nstory(\n")
    done = tell(site)
    assert done.returncode == 1
    assert "slip.story.lua:" in done.stdout and "1 passed, 1 failed" in done.stdout


def test_scripts_that_do_not_load(site):
    (site / "scripts" / "policy.lua").write_text("return { rout = function() end }")
    done = tell(site)
    assert done.returncode == 78
    assert "there is no hook 'rout' (did you mean 'route'?)" in done.stderr
    assert tell(site, "gone.story.lua").returncode == 78
    (site / "scripts" / "policy.lua").write_text(POLICY)
    assert tell(site, "gone.story.lua").returncode == 66


def test_coverage_and_junit(site):
    done = tell(site, "--coverage", "--junit", "results.xml")
    assert "policy.lua: 6 of 7 lines ran (85 %); never: 5\n" in done.stdout
    case = xml.parse(site / "results.xml").getroot().find("testsuite/testcase")
    assert (case.get("name"), case.get("classname")) == ("mail goes straight out", "good.story.lua")
    other = site / "candidate"
    other.mkdir()
    (other / "policy.lua").write_text("return {}")
    (other / "own.story.lua").write_text(GOOD)
    done = tell(site, "--scripts", "candidate")
    assert done.returncode == 1 and 'kind: expected "send", got "hold"' in done.stdout


def test_watch_tells_again(site):
    with subprocess.Popen([BINARY, "test", "--watch", "--json"], cwd=site, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "TIDEGATE_CONF": "conf/tidegate.lua"}) as watching:
        try:
            assert json.loads(watching.stdout.readline())["passed"] is True
            assert json.loads(watching.stdout.readline()) == {"passed": 1, "failed": 0}
            deadline = time.monotonic() + 60
            row = None
            while row is None and time.monotonic() < deadline:
                # It may not yet look when the first change comes: then the next one is seen.
                (site / "scripts" / "policy.lua").write_text("return {}")
                os.set_blocking(watching.stdout.fileno(), False)
                time.sleep(0.1)
                line = watching.stdout.readline()
                row = json.loads(line) if line else None
            assert row and row["passed"] is False
        finally:
            watching.terminate()
