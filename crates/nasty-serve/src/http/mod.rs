//! The protocol over HTTP: which path leads where.

mod body;
mod reply;
mod service;

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, Response, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;
use serde_json::json;

pub(crate) use service::Service;

use crate::about::VERSION;
use crate::keys::Key;
use crate::protocol::{self, Refusal};

type Shared = State<Arc<Service>>;
/// Who asks, where there are keys.
type Owner = Extension<Option<Arc<Key>>>;

/// All paths, with and without a slash at their end.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let open = [
        ("/v2/health/live", get(live)),
        ("/v2/health/ready", get(ready)),
        ("/v2/models/{name}/ready", get(model_ready)),
        ("/v2/models/{name}/versions/{version}/ready", get(model_ready)),
    ];
    let closed = [
        ("/v2", get(server)),
        ("/v2/models/{name}", get(model)),
        ("/v2/models/{name}/versions/{version}", get(model)),
        ("/v2/models/{name}/infer", post(infer)),
        ("/v2/models/{name}/versions/{version}/infer", post(infer)),
        ("/metrics", get(metrics)),
        ("/openapi.json", get(openapi)),
    ];
    let closed = routes(closed).route_layer(from_fn_with_state(service.clone(), identify));
    routes(open).merge(closed).fallback(unknown).method_not_allowed_fallback(wrong_method).with_state(service)
}

fn routes<const N: usize>(list: [(&str, MethodRouter<Arc<Service>>); N]) -> Router<Arc<Service>> {
    list.into_iter().fold(Router::new(), |router, (path, method)| {
        router.route(path, method.clone()).route(&format!("{path}/"), method)
    })
}

/// Lets a request pass whose key is known.
async fn identify(State(service): Shared, mut request: Request, next: Next) -> Response<Body> {
    match service.identify(request.headers()) {
        Ok(key) => {
            request.extensions_mut().insert(key);
            next.run(request).await
        }
        Err(refusal) => {
            if request.uri().path().trim_end_matches('/').ends_with("/infer") {
                service.counters.request(refusal.status, 0, Default::default());
            }
            reply::refused(&refusal)
        }
    }
}

/// The model that a path names.
#[derive(Deserialize)]
struct Named {
    name: String,
    version: Option<String>,
}

/// Checks that the path names the model that is served.
fn check(named: Result<Path<Named>, PathRejection>, service: &Service) -> Result<(), Refusal> {
    let about = service.model.about();
    let Path(Named { name, version }) = named.map_err(|e| Refusal::bad(e.body_text()))?;
    if name != about.name {
        return Err(Refusal::new(404, format!("expected the model `{}`, found `{name}`", about.name)));
    }
    match version {
        Some(version) if version != VERSION => {
            Err(Refusal::new(404, format!("expected version {VERSION} of `{name}`, found `{version}`")))
        }
        _ => Ok(()),
    }
}

async fn live() -> Response<Body> {
    reply::json(200, &json!({ "live": true }))
}

/// The reply to whether something is ready: `answer`, if the server is.
fn readiness(service: &Service, answer: &serde_json::Value) -> Response<Body> {
    if service.is_ready() {
        return reply::json(200, answer);
    }
    reply::refused(&Refusal::new(503, "the server is shutting down"))
}

async fn ready(State(service): Shared) -> Response<Body> {
    readiness(&service, &json!({ "ready": true }))
}

async fn model_ready(State(service): Shared, named: Result<Path<Named>, PathRejection>) -> Response<Body> {
    match check(named, &service) {
        Ok(()) => readiness(&service, &json!({ "name": service.model.about().name, "ready": true })),
        Err(refusal) => reply::refused(&refusal),
    }
}

async fn server() -> Response<Body> {
    reply::json(200, &protocol::server())
}

async fn model(State(service): Shared, named: Result<Path<Named>, PathRejection>) -> Response<Body> {
    match check(named, &service) {
        Ok(()) => reply::json(200, &protocol::model(service.model.about())),
        Err(refusal) => reply::refused(&refusal),
    }
}

async fn infer(
    State(service): Shared,
    Extension(key): Owner,
    named: Result<Path<Named>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response<Body> {
    match check(named, &service) {
        Ok(()) => service.infer(key.as_ref(), &headers, body).await,
        Err(refusal) => {
            service.counters.request(refusal.status, 0, std::time::Duration::ZERO);
            reply::refused(&refusal)
        }
    }
}

async fn metrics(State(service): Shared) -> Response<Body> {
    reply::text(service.metrics())
}

async fn openapi(State(service): Shared) -> Response<Body> {
    reply::json(200, &protocol::openapi(service.model.about(), service.accounts.is_some()))
}

async fn unknown(uri: Uri) -> Response<Body> {
    reply::refused(&Refusal::new(404, format!("nothing is at {}; see /openapi.json", uri.path())))
}

async fn wrong_method(method: Method, uri: Uri) -> Response<Body> {
    reply::refused(&Refusal::new(405, format!("{} does not take {method}", uri.path())))
}
