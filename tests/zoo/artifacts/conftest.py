from tests.support.artifact_fixtures import artifact, edit_config, make_artifact  # noqa: F401  # fixtures
from tests.support.hub_fixtures import _made, _server, client, hub, repo, tiny  # noqa: F401  # fixtures
from tests.support.push_fixtures import fails, push  # noqa: F401  # fixtures
