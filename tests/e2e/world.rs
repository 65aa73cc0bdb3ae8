//! One Envoy with a listener for each policy that the modules below want to see in force.

use attache_harness::issuer::Algorithm;

use crate::proxy::{self, Setup, Shared, Visit, issuer};
use crate::{access_log, config, cors, forwarding, grpc, paths_and_headers, refusals};
use crate::{report_only, resource_metadata, route_metadata, secrets, tokens};

static WORLD: Shared = Shared::new(|| {
    secrets::remember(tokens::SHARED_SECRET);
    secrets::remember(&tokens::shared_secret_variable());
    let mut setup = Setup::new()
        .with_issuer("corp", issuer("corp", &Algorithm::ALL))
        .with_issuer("strict", issuer("strict", &[Algorithm::Rs256]))
        .issuer("second")
        .issuer("hmac")
        .environment("HS_KEY", &tokens::shared_secret_variable());
    let listeners = [
        access_log::listeners(),
        config::listeners(),
        cors::listeners(),
        forwarding::listeners(),
        grpc::listeners(),
        paths_and_headers::listeners(),
        refusals::listeners(),
        report_only::listeners(),
        resource_metadata::listeners(),
        route_metadata::listeners(),
        tokens::listeners(),
    ];
    for listener in listeners.into_iter().flatten() {
        setup = setup.listener(listener);
    }
    setup.start()
});

/// Enters it. Its issuers are `corp`, with a key for each algorithm, `strict` with an RS256 key, `second` and `hmac`.
pub(crate) fn visit() -> Visit {
    proxy::visit(&WORLD)
}
