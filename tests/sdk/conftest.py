from tests.support.artifact_fixtures import artifact, edit_config, exports, make_artifact, reseal  # noqa: F401  # fixtures
