//! Load shedding: refuses mutations with 503 while too many are in flight.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{self, Context, Poll};
use std::time::Instant;

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::Method;
use actix_web::{Error, web};
use pin_project_lite::pin_project;

use crate::api::problem::Problem;
use crate::http::Api;
use crate::http::shedding::Admission;

/// The middleware that refuses mutations of players while too many are in flight.
pub struct Shed;

impl<S> Transform<S, ServiceRequest> for Shed
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Transform = ShedService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, routes: S) -> Self::Future {
        ready(Ok(ShedService { routes }))
    }
}

/// Routes behind the middleware.
pub struct ShedService<S> {
    routes: S,
}

impl<S> Service<ServiceRequest> for ShedService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = ShedCall<S::Future>;

    forward_ready!(routes);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let api = request.app_data::<web::Data<Api>>().filter(|_| is_mutation(&request)).cloned();
        let Some(api) = api else { return ShedCall::Through { call: self.routes.call(request) } };
        let Some(admission) = api.shedding.admit(Instant::now()) else {
            let refusal = ready(Ok(request.error_response(Problem::busy())));
            return ShedCall::Refused { refusal };
        };
        let guard = AdmissionGuard { api, admission: Some(admission) };
        ShedCall::Admitted { call: self.routes.call(request), guard }
    }
}

pin_project! {
    /// The future of a request.
    #[project = ShedProjection]
    pub enum ShedCall<F> {
        Through { #[pin] call: F },
        Admitted { #[pin] call: F, guard: AdmissionGuard },
        Refused { #[pin] refusal: Ready<Result<ServiceResponse, Error>> },
    }
}

/// Counts a mutation as in flight until this guard is dropped, which also happens when the client closes its
/// connection.
pub struct AdmissionGuard {
    api: web::Data<Api>,
    admission: Option<Admission>,
}

impl Drop for AdmissionGuard {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.api.shedding.release(admission);
        }
    }
}

impl<F> Future for ShedCall<F>
where
    F: Future<Output = Result<ServiceResponse, Error>>,
{
    type Output = Result<ServiceResponse, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            ShedProjection::Through { call } => call.poll(context),
            ShedProjection::Admitted { call, guard } => {
                let result = task::ready!(call.poll(context));
                let succeeded = result.as_ref().is_ok_and(|it| it.status().is_success());
                if succeeded && let Some(admission) = guard.admission.take() {
                    guard.api.shedding.complete(admission, Instant::now());
                }
                Poll::Ready(result)
            }
            ShedProjection::Refused { refusal } => refusal.poll(context),
        }
    }
}

/// Whether a lane writes the request. Other requests are not limited here: reads, sign-ins, which have their own queue,
/// and requests of operators.
fn is_mutation(request: &ServiceRequest) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS];
    !reads.contains(request.method()) && request.match_info().unprocessed().starts_with("/me")
}
