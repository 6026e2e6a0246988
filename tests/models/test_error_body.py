import pytest

from livepeer_async.models import ErrorBody, Violation
from support.samples import INDEX, read_sample

# Responses 422 with plain sentences, to requests that conform to the schema.
SENTENCES = {
    "error_422_encrypted_key.json",
    "error_422_not_ready_for_playback.json",
    "error_422_policy_to_private.json",
    "error_422_asset_not_ready.json",
}
SCHEMA_ERRORS = {name for name in INDEX if name.startswith("error_422_")} - SENTENCES


def test_missing_name_is_a_violation():
    assert read_sample("error_422_missing_name.json").violations == (
        Violation(
            instance_path="",
            schema_path="#/required",
            keyword="required",
            params={"missingProperty": "name"},
            message="must have required property 'name'",
        ),
    )


def test_violation_points_to_the_value():
    (violation,) = read_sample("error_422_profile_without_bitrate.json").violations
    assert violation.instance_path == "/profiles/0"


def test_choice_reports_every_branch():
    violations = read_sample("error_422_ipfs_type.json").violations
    assert [violation.keyword for violation in violations] == ["type", "type", "type", "oneOf"]
    assert violations[-1].params == {"passingSchemas": None}


@pytest.mark.parametrize("name", sorted(SCHEMA_ERRORS))
def test_schema_error_has_only_violations(name):
    body = read_sample(name)
    assert len(body.violations) == len(body.errors)


@pytest.mark.parametrize("name", sorted(SENTENCES))
def test_sentence_is_not_a_violation(name):
    body = read_sample(name)
    assert body.errors
    assert body.violations == ()


@pytest.mark.parametrize("entry", ["", "{", "{}", "null", "[]", '"x"', '{"keyword": "required"}'])
def test_other_json_is_not_a_violation(entry):
    assert ErrorBody(errors=(entry,)).violations == ()


def test_violation_needs_only_path_and_keyword():
    body = ErrorBody(errors=('{"instancePath": "/name", "keyword": "type", "new": 1}',))
    assert body.violations == (Violation(instance_path="/name", keyword="type"),)


def test_body_may_have_no_errors():
    assert ErrorBody().errors == ()


def test_repr_hides_an_echoed_key():
    body = read_sample("error_401_unknown_key.json")
    assert body.errors == ("no token wrong-key found",)
    assert repr(body) == "ErrorBody(errors=('no token *** found',))"
