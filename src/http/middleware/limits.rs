//! Rate limits: selects the token bucket and the cost of a call, and adds the response headers.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{self, Context, Poll};

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::Method;
use actix_web::{Error, HttpMessage, HttpRequest, web};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use crate::api::problem::Problem;
use crate::http::Api;
use crate::http::extract::client_address::client_address;
use crate::http::extract::{bearer, is_operator};
use crate::http::thread_state::thread_state;
use crate::limit::{Key, Policy, Verdict};

/// The middleware that applies rate limits to the routes below `/api/v1`.
pub struct Limited;

impl<S> Transform<S, ServiceRequest> for Limited
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
    S::Future: Unpin,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Transform = LimitedService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, routes: S) -> Self::Future {
        ready(Ok(LimitedService { routes: Rc::new(routes) }))
    }
}

/// Routes behind the limits.
pub struct LimitedService<S> {
    routes: Rc<S>,
}

impl<S> Service<ServiceRequest> for LimitedService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error> + 'static,
    S::Future: Unpin,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = LimitedCall<S::Future>;

    forward_ready!(routes);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let Some(api) = request.app_data::<web::Data<Api>>().cloned() else {
            return LimitedCall::Free(self.routes.call(request));
        };
        let Some(Bucket { policy, key, cost }) = bucket(&request, &api) else {
            return LimitedCall::Free(self.routes.call(request));
        };
        if let Some(decided) = api.limits.limiter.check_without_redis(policy, key, cost) {
            return LimitedCall::decided(&*self.routes, request, api, decided);
        }
        let routes = Rc::clone(&self.routes);
        LimitedCall::Waiting(Box::pin(async move {
            let decided = api.limits.limiter.check(policy, key, cost).await;
            LimitedCall::decided(&*routes, request, api, decided).await
        }))
    }
}

/// The future of a limited call.
pub enum LimitedCall<F> {
    /// Not limited.
    Free(F),
    /// Allowed.
    Allowed(F, web::Data<Api>, Verdict),
    /// Refused.
    Refused(Ready<Result<ServiceResponse, Error>>),
    /// Waiting for Redis to check the limit.
    Waiting(LocalBoxFuture<'static, Result<ServiceResponse, Error>>),
}

impl<F> LimitedCall<F> {
    fn decided<S>(
        routes: &S,
        request: ServiceRequest,
        api: web::Data<Api>,
        decided: Option<Verdict>,
    ) -> Self
    where
        S: Service<ServiceRequest, Response = ServiceResponse, Error = Error, Future = F>,
    {
        let Some(verdict) = decided else { return Self::Free(routes.call(request)) };
        let Some(problem) = Problem::of_verdict(&verdict) else {
            return Self::Allowed(routes.call(request), api, verdict);
        };
        let mut response = request.error_response(problem);
        api.limits.write(response.headers_mut(), &[verdict]);
        Self::Refused(ready(Ok(response)))
    }
}

impl<F> Future for LimitedCall<F>
where
    F: Future<Output = Result<ServiceResponse, Error>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match &mut *self {
            Self::Free(call) => call.poll_unpin(context),
            Self::Allowed(call, api, verdict) => {
                let mut response = task::ready!(call.poll_unpin(context))?;
                // The sign-in handler also checks a limit per username and stores the verdict in the request.
                let further = match verdict.policy {
                    Policy::Auth => response.request().extensions().get::<Verdict>().copied(),
                    _ => None,
                };
                match further {
                    Some(further) => api.limits.write(response.headers_mut(), &[*verdict, further]),
                    None => api.limits.write(response.headers_mut(), &[*verdict]),
                }
                Poll::Ready(Ok(response))
            }
            Self::Refused(refusal) => refusal.poll_unpin(context),
            Self::Waiting(call) => call.poll_unpin(context),
        }
    }
}

/// The token bucket of a call, and the number of tokens that the call takes.
struct Bucket {
    policy: Policy,
    key: Key,
    cost: u32,
}

/// The bucket and the cost of a call. Returns `None` for preflights and operators, which are not limited.
fn bucket(request: &ServiceRequest, api: &Api) -> Option<Bucket> {
    if request.method() == Method::OPTIONS {
        return None;
    }
    let address = || Key::address(api.client_address(request.request()));
    // The normalized path that the router uses, so that other spellings of a path have the same limit.
    let path = request.match_info().unprocessed();
    let cost = cost(request.method(), path);
    let bucket = |policy, key| Some(Bucket { policy, key, cost });
    if request.method() == Method::POST
        && matches!(path, "/auth/login" | "/auth/register" | "/auth/guest")
    {
        return bucket(Policy::Auth, address());
    }
    if path == "/live" {
        return bucket(Policy::Live, address());
    }
    let Some(Ok(token)) = bearer(request.request()) else {
        return bucket(Policy::Address, address());
    };
    if path.starts_with("/admin/") && is_operator(token, api) {
        return None;
    }
    let thread = thread_state(request.request()).ok()?;
    match thread.authenticate(token, api) {
        Ok(caller) => bucket(Policy::Player, Key::player(caller.player())),
        Err(_) => bucket(Policy::Address, address()),
    }
}

/// The cost of a call in tokens. Expensive calls cost more than one.
fn cost(method: &Method, path: &str) -> u32 {
    match path {
        // Reads all data about a player.
        "/me/export" => 4,
        // Hashes two passwords.
        "/auth/password" if method == Method::POST => 4,
        _ => 1,
    }
}

impl Api {
    /// The address of the client that sent a request.
    pub fn client_address(&self, request: &HttpRequest) -> std::net::IpAddr {
        client_address(request.peer_addr(), request.headers(), self.options.trusted_proxy_hops)
    }

    /// Takes a token from the username's bucket. It limits attempts to guess one account's password, regardless of the
    /// number of client addresses.
    ///
    /// # Errors
    /// Returns 429 if the bucket is empty.
    pub async fn limit_login(&self, request: &HttpRequest, username: &str) -> Result<(), Problem> {
        let key = Key::username(username);
        let Some(verdict) = self.limits.limiter.check(Policy::Login, key, 1).await else {
            return Ok(());
        };
        request.extensions_mut().insert(verdict);
        Problem::of_verdict(&verdict).map_or(Ok(()), Err)
    }
}
