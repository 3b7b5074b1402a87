"""Profiles: what is measured, that the parts add up, and pages that stand by themselves."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from boards.cli import commands
from boards.errors import BoardError
from boards.probe import Probe, Way
from boards.profiling import loading, memory, operators
from boards.profiling.comparison import comparison_page, labels, ratio
from boards.profiling.flatbuffer_prefix import understand
from boards.profiling.page import page
from boards.profiling.plot import Bar, Series, bars, figure, lines, spread, ticks
from boards.profiling.record import check
from boards.profiling.soak import Sample, Soak, soak
from boards.sensors import clocks, joules, power_meter, rails, temperatures, watts
from boards.system import System
from edge_runtime.backends.selection import NAMES, import_backend, select
from edge_runtime.model_file import find, open_model_file
from tests.backends import LAST
from tests.boards.trees import write


@pytest.fixture(scope="session")
def network() -> bytes:
    """The bundled assistant's flatbuffer."""
    file = open_model_file(find("assistant"), None)
    try:
        return file.network()
    finally:
        file.close()


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A profile that was really measured, as shortly as the command can."""
    folder = tmp_path_factory.mktemp("profile")
    command = ["profile", "--quick", "--minutes", "0", "-o", str(folder), "--json"]
    done = CliRunner().invoke(commands, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"files": [str(folder / "profile.json"), str(folder / "profile.html")]}
    assert (folder / "profile.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    found: dict[str, Any] = json.loads((folder / "profile.json").read_text(encoding="utf-8"))
    return found


class TestPrefixes:
    """The first operators of a network are a network."""

    def test_all_of_it_answers_the_same(self, network: bytes) -> None:
        """The prefix of all operators makes the very tensors that the whole network does; fewer make what is read."""
        cut = understand(network)
        interpreter = import_backend(select(LAST))
        results = []
        for content in (network, cut.prefix(len(cut.made))):
            one = interpreter(model_content=content, num_threads=1)
            inputs = one.get_input_details()
            for detail in inputs:
                one.resize_tensor_input(detail["index"], [1, 5])
            one.allocate_tensors()
            for detail in inputs:
                one.set_tensor(detail["index"], np.arange(5, dtype=np.int32)[np.newaxis])
            one.invoke()
            results.append({detail["name"]: one.get_tensor(detail["index"]) for detail in one.get_output_details()})
        whole, last = results
        assert list(last) == list(whole)
        assert all(np.array_equal(last[name], whole[name]) for name in whole)
        short = interpreter(model_content=cut.prefix(4), num_threads=1)
        assert [detail["name"] for detail in short.get_output_details()] == [cut.names[2], cut.names[3]]

    def test_what_is_no_network(self, network: bytes) -> None:
        """Anything else is one error."""
        for wrong in (b"", b"zipzipzip", network[:40], network[:4] + b"ABCD" + network[8:]):
            with pytest.raises(BoardError):
                understand(wrong)

    @given(data=st.data())
    def test_damaged(self, network: bytes, data: st.DataObject) -> None:
        """A network that is damaged at its beginning is understood or refused, never a crash or a long wait."""
        damaged = bytearray(network[:4096] + network[-200_000:])
        for place in data.draw(st.lists(st.integers(8, 4000), max_size=4)):
            damaged[place] = data.draw(st.integers(0, 255))
        try:
            understand(bytes(damaged))
        except BoardError as error:
            assert "cut" in str(error) or "network" in str(error)  # noqa: PT017  either outcome is fine


class TestOperators:
    """Time by operator adds up to the whole."""

    NAMES = (
        "ids.column", "embeddings.sum", "layer.0.attention.query", "softmax.ones", "layer.0.feed_forward.sum",
        "layer.1.attention.query", "layer.1.feed_forward.sum", "intent.logits",
    )  # fmt: skip
    KINDS = ("RESHAPE", "ADD", "FULLY_CONNECTED", "GATHER", "ADD", "FULLY_CONNECTED", "ADD", "FULLY_CONNECTED")

    def test_parts(self) -> None:
        """Tensors belong to embeddings, attention, feed forward or a head; shared constants where they are made."""
        assert operators.parts(self.NAMES) == [
            "embeddings", "embeddings", "attention", "attention", "feed forward", "attention", "feed forward", "head",
        ]  # fmt: skip

    def test_every_operator(self) -> None:
        """With a cut after each operator both ways of adding up give the whole."""
        least = {count: float(count * count) for count in range(9)}
        by_kind, by_part = operators.attribute(self.KINDS, self.NAMES, least)
        assert sum(by_kind.values()) == pytest.approx(64)
        assert sum(by_part.values()) == pytest.approx(64)
        assert by_part["head"] == 15
        assert by_kind["RESHAPE"] == 1

    def test_one_layer_for_all(self) -> None:
        """In a large network only one layer in the middle is cut inside, and its kinds stand for the others'."""
        names = ["embeddings.sum"]
        names += [f"layer.{layer}.attention.{place}" for layer in range(40) for place in range(10)]
        names += ["label.logits"]
        cuts = operators.choose_cuts(names)
        assert len(names) > operators.MAX_DETAILED
        assert cuts[-1] == len(names)
        assert len(cuts) == 1 + 39 + 10 + 1
        kinds = ["GATHER", *(["FULLY_CONNECTED"] * 5 + ["ADD"] * 5) * 40, "FULLY_CONNECTED"]
        least = {0: 0.0} | {cut: float(cut) for cut in cuts}
        by_kind, _ = operators.attribute(kinds, names, least)
        assert by_kind == {"GATHER": 1.0, "FULLY_CONNECTED": pytest.approx(201.0), "ADD": pytest.approx(200.0)}

    @pytest.mark.parametrize("inside", [-1.0, 0.0])
    def test_noise_loses_nothing(self, inside: float) -> None:
        """Where noise makes the layer that is cut inside cost nothing, all of the whole is still attributed."""
        names = ["embeddings.sum"]
        names += [f"layer.{layer}.attention.{place}" for layer in range(40) for place in range(10)]
        names += ["label.logits"]
        kinds = ["GATHER", *(["FULLY_CONNECTED"] * 5 + ["ADD"] * 5) * 40, "FULLY_CONNECTED"]
        reached, spent, before = {0: 0.0}, 0.0, 0
        for cut in operators.choose_cuts(names):
            spent += inside if cut - before == 1 else 8.0
            reached[cut], before = spent, cut
        by_kind, by_part = operators.attribute(kinds, names, reached)
        assert sum(by_kind.values()) == pytest.approx(spent)
        assert sum(by_part.values()) == pytest.approx(spent)

    def test_measured(self, record: dict[str, Any]) -> None:
        """Measured shares add up to the measured whole, and the kinds are the network's."""
        found = record["operators"]
        assert sum(each["ms"] for each in found["by_operator"]) == pytest.approx(found["total_ms"])
        assert sum(each["ms"] for each in found["by_part"]) == pytest.approx(found["total_ms"])
        assert {"FULLY_CONNECTED", "GELU"} <= {each["operator"] for each in found["by_operator"]}
        assert {each["part"] for each in found["by_part"]} == {"embeddings", "attention", "feed forward", "head"}


class TestMemory:
    """What a process and the page cache hold."""

    def test_this_process(self) -> None:
        """Private and shared memory are at most what is resident."""
        found = memory.of_this_process()
        parts = [found[f"{kind}_{state}_kb"] for kind in ("shared", "private") for state in ("clean", "dirty")]
        assert sum(parts) <= found["resident_kb"] + 64

    def test_page_cache(self, tmp_path: Path) -> None:
        """A file that was just written is in the page cache, whole; an empty one is nothing."""
        path = tmp_path / "file"
        path.write_bytes(b"x" * 100_001)
        assert memory.cached(path) == (100_001, 100_001)
        memory.forget(path)
        assert 0 <= memory.cached(path)[0] <= 100_001
        (tmp_path / "empty").touch()
        assert memory.cached(tmp_path / "empty") == (0, 0)
        with pytest.raises(OSError, match="No such file"):
            memory.cached(tmp_path / "nothing")

    def test_loading(self) -> None:
        """A cold start is followed by warm ones, with the same stages, in order."""
        found = loading.measure(find("assistant"), Way(LAST, 1, None), (8,))
        names = ["python", "libraries", "model loaded", "first answer"]
        assert [each["stage"] for each in found.cold] == names
        assert [each["stage"] for each in found.warm] == [*names, "8 tokens"]
        assert found.page_cache[0]["bytes"] == find("assistant").stat().st_size


class TestSensors:
    """Temperatures, clocks and power in a made-up /sys."""

    def test_temperatures_and_clocks(self, tmp_path: Path) -> None:
        """Zones are called by their type, and by their number too where two have the same; nonsense is left out."""
        for number, (kind, value) in enumerate([("cpu-thermal", "45123"), ("cpu-thermal", "46000"), ("gpu", "broken")]):
            write(tmp_path, f"/sys/class/thermal/thermal_zone{number}/type", f"{kind}\n")
            write(tmp_path, f"/sys/class/thermal/thermal_zone{number}/temp", f"{value}\n")
        write(tmp_path, "/sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq", "2400000\n")
        assert temperatures(System(tmp_path)) == {"cpu-thermal": 45.123, "cpu-thermal 1": 46.0}
        assert clocks(System(tmp_path), firmware=False) == {"policy4": 2400.0}

    def test_power(self, tmp_path: Path) -> None:
        """A chip's power comes before volts times amperes, and those before a counter of energy."""
        system = System(tmp_path)
        assert power_meter(system, firmware=False) is None
        write(tmp_path, "/sys/class/powercap/intel-rapl:0/energy_uj", "5000000\n")
        write(tmp_path, "/sys/class/powercap/intel-rapl:0/name", "package-0\n")
        meter = power_meter(system, firmware=False)
        assert meter is not None and meter.name == "powercap package-0"
        assert (joules(system, meter), watts(system, meter)) == (5.0, None)
        write(tmp_path, "/sys/class/hwmon/hwmon0/name", "ina3221\n")
        write(tmp_path, "/sys/class/hwmon/hwmon0/in1_input", "5000\n")
        write(tmp_path, "/sys/class/hwmon/hwmon0/in1_label", "VDD_IN\n")
        write(tmp_path, "/sys/class/hwmon/hwmon0/curr1_input", "700\n")
        meter = power_meter(system, firmware=False)
        assert meter is not None and (meter.name, watts(system, meter)) == ("ina3221 VDD_IN", 3.5)
        write(tmp_path, "/sys/class/hwmon/hwmon0/power1_input", "3250000\n")
        meter = power_meter(system, firmware=False)
        assert meter is not None and watts(system, meter) == 3.25

    def test_rails(self) -> None:
        """Rails with both a voltage and a current are added up; others are left out."""
        answer = (
            "  3V3_SYS_A current(1)=0.10000000A\n VDD_CORE_A current(7)=2.00000000A\n"
            " 3V3_SYS_V volt(9)=3.30000000V\n VDD_CORE_V volt(15)=0.75000000V\n EXT5V_V volt(24)=5.10000000V\n"
        )
        assert rails(answer) == pytest.approx(0.33 + 1.5)
        assert rails("error=1") is None


class TestSoak:
    """Full load."""

    def test_for_real(self) -> None:
        """At least one interval of load is measured, and this machine's sensors are looked at."""
        lines: list[str] = []
        with Probe("assistant", Way(LAST, 1, None)) as probe:
            found = soak(probe, 16, 0.0, firmware=False, progress=lines.append, system=System())
        assert len(found.samples) == 1
        assert found.samples[0].tokens_per_second > 0
        assert found.summary()["kept"] == 1.0
        assert lines

    def test_summary(self) -> None:
        """The last minute is held against the first; energy is told beyond what the idle board takes."""

        def sample(number: int) -> Sample:
            return Sample(
                2.0 * number, 1000.0 - number, 1.0, 1.1, {"cpu": 40.0 + number}, {}, 0x40000 | number >> 5, 5.0
            )

        found = Soak(64, tuple(sample(number) for number in range(60)), "meter", "board", 2.0).to_json()
        assert found["summary"]["highest_temperature"] == 99.0
        assert found["summary"]["kept"] == pytest.approx(946.5 / 994.5, abs=0.01)
        assert found["summary"]["throttled"] is True
        assert found["energy"]["millijoules_per_token"] == pytest.approx(5000 / 970.5)
        assert found["energy"]["millijoules_per_token_beyond_idle"] == pytest.approx(3000 / 970.5)
        assert Soak(64, (Sample(2.0, 1.0, 1.0, 1.0, {}, {}, None, None),), None, None, None).energy() is None


class TestPlots:
    """Plots are well-formed and say what they show."""

    @given(low=st.floats(-1e6, 1e6), span=st.floats(1e-6, 1e6).filter(lambda value: value > 0))
    def test_ticks(self, low: float, span: float) -> None:
        """Ticks hold the range between them, grow, and are few."""
        found = ticks(low, low + span)
        near = 1e-6 * max(abs(low), span)
        assert found[0] <= low + near and found[-1] >= low + span - near
        assert found == sorted(found)
        assert 2 <= len(found) <= 9

    @given(st.lists(st.floats(0, 300), min_size=1, max_size=6))
    def test_labels_keep_apart(self, places: list[float]) -> None:
        """Labels that were too near are moved apart."""
        found = sorted(spread(places, 15))
        assert all(other - one > 12 for one, other in itertools.pairwise(found))

    def test_figures(self) -> None:
        """Numbers have three digits that count."""
        shown = [figure(value) for value in (0, 0.01234, 1.5, 12.345, 123.4, 1234.5, 1234567)]
        assert shown == ["0", "0.0123", "1.5", "12.3", "123", "1\u202f234", "1\u202f234\u202f567"]

    def test_well_formed(self) -> None:
        """Plots are XML, have a role and a title, and escape what comes from elsewhere."""
        drawn = lines(
            "<a> & b", [Series("<x>", 0, [(8, 1.0), (16, 2.0)], [1.5, 2.5]), Series("y", 1, [(8, 3.0)])], "t", "ms"
        )
        for text in (drawn, bars("<a> & b", [Bar("<x>", [(1.0, 0, "<p>")], "1 ms"), Bar("", [(-1.0, 1, "n")], "")])):
            root = ET.fromstring(text)
            assert root.attrib["role"] == "img"
            assert root.findtext("title") == "<a> & b"


class Outside(HTMLParser):
    """What a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [
            f"{tag} {name}={value}" for name, value in attributes if name in ("src", "href", "srcset", "style")
        ]


class TestPages:
    """Pages need nothing but themselves."""

    def test_of_one(self, record: dict[str, Any]) -> None:
        """A page fetches nothing, runs nothing, and has all of the sections and each latency in its tables."""
        text = page(record)
        parser = Outside()
        parser.feed(text)
        assert parser.found == []
        assert not {"script", "link", "img", "iframe"} & set(parser.tags)
        assert "url(" not in text and "@import" not in text
        for title in ("Latency", "Where the time goes", "From start to first answer", "Memory", "Full load"):
            assert f"<h2>{title}</h2>" in text
        for row in record["latency"]:
            assert f"{row['p50_ms']:.3f}" in text
        assert parser.tags.count("svg") == len(re.findall('role="img"', text)) >= 6

    def test_with_every_sensor(self, record: dict[str, Any]) -> None:
        """Temperature, clock, power and throttling are shown where they are told, and names are escaped."""
        full = json.loads(json.dumps(record))
        full["machine"]["throttles_at"] = 80
        full["board"]["name"] = "<b>board</b>"
        for sample in full["soak"]["samples"]:
            sample |= {"temperatures": {"cpu-thermal": 61.5}, "mhz": {"arm": 1500.0}, "throttled": 4, "watts": 4.5}
        full["soak"]["energy"] = {
            "meter": "ina", "scope": "board", "idle_watts": 2.0, "load_watts": 4.5, "millijoules_per_token": 0.5,
            "millijoules_per_token_beyond_idle": 0.3,
        }  # fmt: skip
        text = page(full)
        for said in ("Temperature, °C", "Clock, MHz", "Power, W", "slowed down from 80 °C on", "0x4", "mJ/token"):
            assert said in text
        assert "<b>board" not in text

    def test_without_operators(self, record: dict[str, Any]) -> None:
        """Where operators could not be measured the page says why."""
        text = page({**record, "operators": None, "without_operators": "the <interpreter> would not"})
        assert "Not measured: the &lt;interpreter&gt; would not." in text

    def test_of_two(self, record: dict[str, Any], tmp_path: Path) -> None:
        """Two profiles make a page with ratios; the same one twice has no difference."""
        other = json.loads(json.dumps(record))
        for row in other["latency"]:
            row |= {key: row[key] * 2 for key in ("p50_ms", "p95_ms")}
        backend = next(name for name in NAMES if name != record["settings"]["backend"])
        other["settings"]["backend"] = backend
        for name, each in (("a", record), ("b", other)):
            (tmp_path / f"{name}.json").write_text(json.dumps(each))
        arguments = [
            "profile",
            "--compare",
            str(tmp_path / "a.json"),
            str(tmp_path / "b.json"),
            "-o",
            str(tmp_path / "c.html"),
        ]
        done = CliRunner().invoke(commands, arguments)
        assert done.exit_code == 0, done.output
        text = (tmp_path / "c.html").read_text()
        parser = Outside()
        parser.feed(text)
        assert parser.found == []
        assert '<span class="worse">2.00 ×</span>' in text
        assert labels(record, other) == (record["settings"]["backend"], backend)
        assert 'class="worse"' not in comparison_page(record, record)

    def test_ratios(self) -> None:
        """Better is what takes less time or makes more tokens; a small difference is none."""
        assert ratio(2.0, 1.0) == '<span class="better">0.50 ×</span>'
        assert ratio(2.0, 1.0, more_is_better=True) == '<span class="worse">0.50 ×</span>'
        assert ratio(1.0, 1.02) == "1.02 ×"
        assert (ratio(None, 1.0), ratio(1.0, None)) == ("", "")


class TestRecords:
    """What is no profile is refused."""

    @given(data=st.data())
    def test_missing_and_wrong(self, record: dict[str, Any], data: st.DataObject) -> None:
        """Without one of its fields, or with nonsense in it, a record is refused and the field is named."""
        broken = json.loads(json.dumps(record))
        name = data.draw(
            st.sampled_from(["made", "board", "machine", "model", "settings", "latency", "loading", "soak"])
        )
        if data.draw(st.booleans()):
            del broken[name]
        else:
            broken[name] = data.draw(st.one_of(st.none(), st.integers(), st.just([]), st.just({})))
        with pytest.raises(BoardError, match=name):
            check(broken, "file")

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', "nonsense", "[" * 100_000])
    def test_files(self, content: str, tmp_path: Path) -> None:
        """A file that is no profile is one line and exit status 1."""
        (tmp_path / "a.json").write_text(content)
        path = str(tmp_path / "a.json")
        done = CliRunner().invoke(commands, ["profile", "--compare", path, path, "-o", str(tmp_path / "c.html")])
        assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)

    @pytest.mark.parametrize("arguments", [["--compare"], ["x.json"], ["--minutes", "-1"], ["--board"]])
    def test_wrong_usage(self, arguments: list[str]) -> None:
        """Wrong usage is exit status 2."""
        assert CliRunner().invoke(commands, ["profile", *arguments]).exit_code == 2


def test_nothing_is_not_a_number(record: Mapping[str, Any]) -> None:
    """No figure of a profile is infinite or not a number."""

    def numbers(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [each for inner in value.values() for each in numbers(inner)]
        if isinstance(value, list):
            return [each for inner in value for each in numbers(inner)]
        return [value] if isinstance(value, float) else []

    assert all(math.isfinite(value) for value in numbers(dict(record)))
