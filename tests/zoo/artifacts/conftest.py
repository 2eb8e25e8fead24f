from tests.support.hub_fixtures import _made, _server, client, hub, tiny  # noqa: F401  # fixtures
from tests.support.push_fixtures import fails, push  # noqa: F401  # fixtures
