//! The list of all routes.

use actix_web::guard;
use actix_web::http::{Method, header};
use actix_web::{Handler, HttpRequest, HttpResponse, Resource, Responder, Route, web};

use crate::api::problem::Problem;
use crate::http::Api;
use crate::http::handlers::{
    admin, auth, catalogue, events, health, live, me, notifications, players, rankings, seasons,
};
use crate::http::middleware::limits::Limited;
use crate::http::middleware::shed::Shed;
use crate::http::openapi::docs;
use crate::http::web as page;

/// Registers every route. Routes are matched in this order, so those that clients call every second come first.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .app_data(web::PathConfig::default().error_handler(|_, _| unknown().into()))
        .service(
            web::scope("/api/v1")
                .configure(game_routes)
                .configure(auth_routes)
                .configure(admin_routes)
                .default_service(web::to(unknown_path))
                .wrap(Limited)
                // Outside the rate limits, so that a shed request costs as little as possible.
                .wrap(Shed),
        )
        .configure(probe_routes)
        .service(Endpoint::at("/openapi.json").get(docs::openapi_json).resource())
        .service(Endpoint::at("/asyncapi.json").get(docs::asyncapi_json).resource())
        .service(Endpoint::at("/docs").get(docs::docs).resource())
        .service(Endpoint::at("/docs/{file:.*}").get(docs::docs_file).resource())
        .service(Endpoint::at("/").get(page::serve).resource())
        .default_service(web::to(page::serve));
}

/// Registers the probes. All other paths return 404.
pub fn probe_routes(config: &mut web::ServiceConfig) {
    config
        .service(Endpoint::at("/healthz").get(health::healthz).resource())
        .service(Endpoint::at("/readyz").get(health::readyz).resource())
        .default_service(web::to(unknown_path));
}

fn auth_routes(config: &mut web::ServiceConfig) {
    config
        .service(Endpoint::at("/auth/guest").post(auth::create_guest).resource())
        .service(Endpoint::at("/auth/register").post(auth::register).resource())
        .service(Endpoint::at("/auth/login").post(auth::login).resource())
        .service(Endpoint::at("/auth/refresh").post(auth::refresh).resource())
        .service(Endpoint::at("/auth/logout").post(auth::logout).resource())
        .service(
            Endpoint::at("/auth/sessions")
                .get(auth::list_sessions)
                .delete(auth::end_other_sessions)
                .resource(),
        )
        .service(Endpoint::at("/auth/sessions/{id}").delete(auth::end_session).resource())
        .service(Endpoint::at("/auth/password").post(auth::change_password).resource());
}

fn game_routes(config: &mut web::ServiceConfig) {
    config
        .service(
            Endpoint::at("/me")
                .get(me::read_state)
                .patch(me::change_profile)
                .delete(me::delete_player)
                .resource(),
        )
        .service(Endpoint::at("/me/clicks").post(me::click).resource())
        .service(Endpoint::at("/me/actions").post(me::act).resource())
        .service(Endpoint::at("/rankings").get(rankings::read_rankings).resource())
        .service(Endpoint::at("/rankings/me").get(rankings::read_own_ranking).resource())
        .service(Endpoint::at("/catalog").get(catalogue::read_catalog).resource())
        .service(Endpoint::at("/events").get(events::poll_events).resource())
        .service(Endpoint::at("/live").get(live::open_socket).resource())
        .service(Endpoint::at("/me/generators/{id}/purchase").post(me::buy_generator).resource())
        .service(Endpoint::at("/me/upgrades/{id}/purchase").post(me::buy_upgrade).resource())
        .service(Endpoint::at("/me/prestige").post(me::prestige).resource())
        .service(Endpoint::at("/me/ledger").get(me::read_ledger).resource())
        .service(Endpoint::at("/me/streams").get(events::list_streams).resource())
        .service(
            Endpoint::at("/me/notifications").get(notifications::list_notifications).resource(),
        )
        .service(Endpoint::at("/me/notifications/read").post(notifications::mark_read).resource())
        .service(
            Endpoint::at("/me/notifications/{id}")
                .delete(notifications::delete_notification)
                .resource(),
        )
        .service(
            Endpoint::at("/me/notification-settings")
                .get(notifications::read_settings)
                .put(notifications::change_settings)
                .resource(),
        )
        .service(Endpoint::at("/me/export").get(me::export).resource())
        .service(Endpoint::at("/seasons").get(seasons::list_seasons).resource())
        .service(
            Endpoint::at("/seasons/{id}/rankings").get(seasons::read_season_rankings).resource(),
        )
        .service(Endpoint::at("/players/{id}").get(players::read_profile).resource());
}

fn admin_routes(config: &mut web::ServiceConfig) {
    use admin::{jobs, players};
    let scope = web::scope("/admin").guard(guard::fn_guard(|context| {
        // If no operator token is configured, these paths return 404 for every method.
        let api = context.app_data::<web::Data<Api>>();
        api.is_some_and(|api| api.options.admin_token.is_some())
    }));
    config.service(
        scope
            .service(
                Endpoint::at("/catalog")
                    .get(admin::catalogue::read_catalog)
                    .put(admin::catalogue::replace_catalog)
                    .resource(),
            )
            .service(Endpoint::at("/jobs").get(jobs::list_jobs).resource())
            .service(Endpoint::at("/jobs/{id}").delete(jobs::discard_job).resource())
            .service(Endpoint::at("/jobs/{id}/retry").post(jobs::retry_job).resource())
            .service(
                Endpoint::at("/notifications")
                    .get(admin::notifications::list_notifications)
                    .post(admin::notifications::send_notification)
                    .resource(),
            )
            .service(
                Endpoint::at("/notifications/{id}")
                    .delete(admin::notifications::withdraw_notification)
                    .resource(),
            )
            .service(
                Endpoint::at("/rankings/rebuild")
                    .post(admin::rankings::rebuild_rankings)
                    .resource(),
            )
            .service(Endpoint::at("/players").get(players::search_players).resource())
            .service(Endpoint::at("/players/{id}").get(players::read_player).resource())
            .service(Endpoint::at("/players/{id}/ban").post(players::ban_player).resource())
            .service(Endpoint::at("/players/{id}/unban").post(players::unban_player).resource())
            .service(Endpoint::at("/players/{id}/grant").post(players::grant_energy).resource()),
    );
}

/// A path and its methods. Other methods return 405 with the header `Allow`.
struct Endpoint {
    path: &'static str,
    routes: Vec<Route>,
    methods: Vec<Method>,
}

impl Endpoint {
    fn at(path: &'static str) -> Self {
        Self { path, routes: Vec::new(), methods: Vec::new() }
    }

    fn get<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on([Method::GET, Method::HEAD], handler)
    }

    fn post<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on([Method::POST], handler)
    }

    fn put<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on([Method::PUT], handler)
    }

    fn patch<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on([Method::PATCH], handler)
    }

    fn delete<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on([Method::DELETE], handler)
    }

    fn on<F, Args, const N: usize>(mut self, methods: [Method; N], handler: F) -> Self
    where
        F: Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.extend(methods.clone());
        // The framework's own method guards would store the allowed methods in every request.
        let guard = guard::fn_guard(move |context| methods.contains(&context.head().method));
        self.routes.push(web::route().guard(guard).to(handler));
        self
    }

    fn resource(self) -> Resource {
        let names: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        let allow = names.join(", ");
        let resource = self.routes.into_iter().fold(web::resource(self.path), Resource::route);
        resource.default_service(web::to(move |request: HttpRequest| {
            let allow = allow.clone();
            async move { other_method(&request, allow) }
        }))
    }
}

fn other_method(request: &HttpRequest, allow: String) -> Result<HttpResponse, Problem> {
    if request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish());
    }
    Err(Problem::method_not_allowed(allow))
}

fn unknown() -> Problem {
    Problem::not_found("This path does not exist.")
}

async fn unknown_path() -> Result<HttpResponse, Problem> {
    Err(unknown())
}
