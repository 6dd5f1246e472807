//! The viewer Lambda: the same router that `skycap local` serves, behind API Gateway or a function URL.

use skycap_api::Viewer;

/// Serves requests until the Lambda runtime ends.
pub async fn serve(viewer: Viewer) -> Result<(), lambda_http::Error> {
    lambda_http::run(skycap_api::router(viewer)).await
}
