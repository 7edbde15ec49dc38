from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.config.load import load, parse_storage_options, parse_values
from pipelines.config.methods import method_parameters
from pipelines.config.scan import Scan
from pipelines.errors import CallerError

LEAST = {"input": ["a.tar"], "labels": "bank", "output": "out"}


def yaml_file(directory: Path, text: str) -> Path:
    (directory / "scan.yaml").write_text(text)
    return directory / "scan.yaml"


def test_what_is_not_given_has_its_default() -> None:
    config = load(Scan, None, LEAST)
    assert (config.input, config.method, config.read.images_per_shard) == (("a.tar",), ("neglabel", "max-cos"), 1000)
    assert (config.model.name, config.encode.workers, config.encode.block) == (None, None, None)


def test_the_command_line_lies_over_the_file_field_by_field(tmp_path: Path) -> None:
    file = yaml_file(
        tmp_path,
        "input: [a, b]\nlabels: bank\noutput: here\nencode: {block: 8, threads: 3}\nparam: {mcm.temperature: 2}",
    )
    config = load(Scan, file, {"output": "there", "encode": {"block": 16}, "param": {"neglabel.groups": 5}})
    assert (config.input, config.output) == (("a", "b"), "there")
    assert (config.encode.block, config.encode.threads) == (16, 3)
    assert config.param == {"mcm.temperature": 2, "neglabel.groups": 5}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inptu": 3}, "inptu = 3: Extra inputs are not permitted"),
        ({"read": {"images": 3}}, "read.images = 3: Extra inputs are not permitted"),
        ({"read": {"images_per_shard": 0}}, "read.images_per_shard = 0: Input should be greater than or equal to 1"),
        ({"read": {"max_image_bytes": "big"}}, "read.max_image_bytes = 'big': Input should be a valid integer"),
        ({"model": {"dtype": "int8"}}, "model.dtype = 'int8': Input should be 'auto', 'float32'"),
        ({"encode": {"gpus": -1}}, "encode.gpus = -1: Input should be greater than or equal to 0"),
        ({"encode": {"cpus": 0}}, "encode.cpus = 0: Input should be greater than 0"),
        ({"encode": {"cpus": float("inf")}}, "encode.cpus = inf: Input should be a finite number"),
        ({"max_bad_fraction": 1.5}, "max_bad_fraction = 1.5: Input should be less than or equal to 1"),
        ({"max_bad_fraction": float("nan")}, "max_bad_fraction = nan: Input should be "),
        ({"input": "a.tar"}, "input = 'a.tar': Input should be a valid tuple"),
        ({"input": []}, "input = []: Tuple should have at least 1 item"),
        ({"embeddings": "perhaps"}, "embeddings = 'perhaps': Input should be a valid boolean"),
        ({"order": "random"}, "order = 'random': Input should be 'transductive', 'streaming' or 'sequential'"),
        ({"memory": {"shards": 0}}, "memory.shards = 0: Input should be greater than or equal to 1"),
        ({"memory": {"freeze": True}}, "memory.freeze = True: there is no memory to freeze; name an earlier scan's"),
        ({"memory": {"max_staleness": -1}}, "memory.max_staleness = -1: Input should be greater than or equal to 0"),
        ({3: 4}, "3 = 3: Keys should be strings"),
    ],
)
def test_a_wrong_value_is_named_with_its_field_in_one_line(given: dict[Any, Any], message: str) -> None:
    with pytest.raises(CallerError) as raised:
        load(Scan, None, LEAST | given)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("missing", ["input", "labels", "output"])
def test_a_missing_value_is_named_as_an_option_and_as_a_field(missing: str) -> None:
    with pytest.raises(CallerError, match=f"^--{missing} is missing; .* as `{missing}:` in the YAML$"):
        load(Scan, None, {name: value for name, value in LEAST.items() if name != missing})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold `name: value` lines"),
        ("- a\n- b", "must hold `name: value` lines"),
        ("input: [a", "cannot be read: while parsing a flow sequence"),
        ("input: !!python/object:os.system x", "cannot be read: could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = yaml_file(tmp_path, text)
    with pytest.raises(CallerError) as raised:
        load(Scan, file, {})
    assert str(raised.value).startswith(f"CONFIG '{file}' {message}")


def test_a_config_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="CONFIG '.*none.yaml' cannot be read: .*No such file"):
        load(Scan, tmp_path / "none.yaml", {})


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(Scan, None, LEAST).output = "elsewhere"


def test_a_local_model_is_named_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(Scan, None, LEAST | {"model": {"name": "local-dir:m"}}).model.name == f"local-dir:{tmp_path}/m"


def test_methods_have_their_parameters_or_the_defaults() -> None:
    found = method_parameters(["mcm", "neglabel"], {"neglabel.groups": "7"})
    assert (found["mcm"].temperature, found["neglabel"].groups) == (1.0, 7)  # pyright: ignore


@pytest.mark.parametrize(
    ("names", "given", "message"),
    [
        (["mmc"], {}, "--method 'mmc' is unknown; the methods are mcm, max-cos, gl-mcm, neglabel"),
        (["mcm"], {"neglabel.groups": 3}, "--param neglabel.groups=3: no --method 'neglabel' was asked for; it is mcm"),
        (["mcm"], {"mcm.groups": 3}, "--param mcm.groups=3: mcm has the parameters temperature"),
        (["mcm"], {"temperature": 3}, "--param temperature=3: no --method 'temperature' was asked for"),
        (["mcm"], {"mcm.temperature": 0}, "--param mcm.temperature=0: temperature must be above 0, not 0.0"),
        (["neglabel"], {"neglabel.groups": 1.5}, "--param neglabel.groups=1.5: Input should be a valid integer"),
    ],
)
def test_a_wrong_method_or_parameter_is_named(names: list[str], given: dict[str, Any], message: str) -> None:
    with pytest.raises(CallerError) as raised:
        method_parameters(names, given)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("text", "text"),
        ("http://host:9000", "http://host:9000"),
        ("a=b", "a=b"),
        ("@secret", "@secret"),
        ("x: [", "x: ["),
    ],
)
def test_a_value_is_read_as_yaml_or_else_is_text(text: str, value: object) -> None:
    assert parse_values("--param", [f"name={text}"]) == {"name": value}


@pytest.mark.parametrize("given", ["name", "=value", ""])
def test_what_is_no_assignment_is_refused(given: str) -> None:
    with pytest.raises(CallerError, match=f"^--param '{given}' is not of the form NAME=VALUE$"):
        parse_values("--param", [given])


def test_storage_options_are_taken_as_they_are_written() -> None:
    given = ["secret=0777 #x", "anon=true", "endpoint_url=http://host:9000"]
    assert parse_storage_options(given) == {"secret": "0777 #x", "anon": True, "endpoint_url": "http://host:9000"}


def test_a_malformed_storage_option_is_refused_without_showing_it() -> None:
    with pytest.raises(CallerError, match="NAME=VALUE") as refused:
        parse_storage_options(["hunter2"])
    assert "hunter2" not in str(refused.value)
