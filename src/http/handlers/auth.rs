//! Sign-in, sign-out and sessions.

use actix_web::http::StatusCode;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};

use crate::accounts::{self, Password, Registration, SignedIn};
use crate::api::problem::{Code, FieldError, Problem};
use crate::api::wire::{
    GuestRequest, LoginRequest, LogoutRequest, Page, PasswordRequest, RefreshRequest,
    RefreshedWire, RegisterRequest, SessionKindWire, SessionWire, SignedInWire, TokensWire,
};
use crate::http::extract::{Body, Caller, MaybeCaller, id, user_agent};
use crate::http::{Api, json, private_json, session_cookie};

/// The response to a successful sign-in, with the session cookie if it was requested.
fn signed_in_response(
    (api, request): (&Api, &HttpRequest),
    status: StatusCode,
    signed_in: SignedIn,
    kind: SessionKindWire,
) -> HttpResponse {
    let (wire, cookie) = SignedInWire::new(signed_in, kind);
    let mut response = json(status, &wire);
    if let Some(token) = cookie {
        session_cookie::set(&mut response, request, &token, api.accounts.session_ttl());
    }
    response
}

/// Create a guest and sign in.
#[utoipa::path(
    post, path = "/api/v1/auth/guest", tag = "auth", operation_id = "createGuest", request_body = GuestRequest,
    responses((status = 201, body = SignedInWire))
)]
pub async fn create_guest(
    api: web::Data<Api>,
    request: HttpRequest,
    body: Body<GuestRequest>,
) -> Result<HttpResponse, Problem> {
    let signed_in = api.accounts.create_guest(user_agent(&request)).await?;
    api.rankings.reload_later([signed_in.player]);
    Ok(signed_in_response((&api, &request), StatusCode::CREATED, signed_in, body.value.session))
}

/// Create a player with a username and sign in. With a guest's access token the guest is upgraded: it keeps its
/// progress, its other sessions end, and repeating the request with the same username and password succeeds again.
/// Without a token, repeating the request fails because the username is taken; sign in instead.
#[utoipa::path(
    post, path = "/api/v1/auth/register", tag = "auth", operation_id = "registerPlayer", request_body = RegisterRequest,
    responses((status = 201, body = SignedInWire)), security((), ("player" = []))
)]
pub async fn register(
    api: web::Data<Api>,
    request: HttpRequest,
    caller: MaybeCaller,
    body: Body<RegisterRequest>,
) -> Result<HttpResponse, Problem> {
    let kind = body.value.session;
    let registration = check_registration(body.value)?;
    let agent = user_agent(&request);
    let signed_in = match caller.0 {
        Some(guest) => api.accounts.upgrade_guest(guest, registration, agent).await?,
        None => api.accounts.register(registration, agent).await?,
    };
    api.rankings.reload_later([signed_in.player]);
    Ok(signed_in_response((&api, &request), StatusCode::CREATED, signed_in, kind))
}

fn check_registration(request: RegisterRequest) -> Result<Registration, Problem> {
    let mut errors = Vec::new();
    let username = checked("username", accounts::username(&request.username), &mut errors);
    let password = checked("password", Password::new(request.password), &mut errors);
    let display_name = request.display_name.as_deref().map(accounts::display_name);
    let display_name = display_name.and_then(|name| checked("display_name", name, &mut errors));
    match (username, password) {
        (Some(username), Some(password)) if errors.is_empty() => {
            Ok(Registration { username, password, display_name })
        }
        _ => Err(Problem::fields(Code::ValidationFailed, errors)),
    }
}

fn checked<T>(
    field: &str,
    result: Result<T, impl ToString>,
    errors: &mut Vec<FieldError>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(message) => {
            errors.push(FieldError { field: field.to_owned(), message: message.to_string() });
            None
        }
    }
}

/// Sign in with a username.
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", operation_id = "logIn", request_body = LoginRequest,
    responses((status = 200, body = SignedInWire))
)]
pub async fn login(
    api: web::Data<Api>,
    request: HttpRequest,
    body: Body<LoginRequest>,
) -> Result<HttpResponse, Problem> {
    let LoginRequest { username, password, session } = body.value;
    // An invalid username or password gets the same response as a wrong one.
    let username = accounts::username(&username).ok();
    let password = Password::claimed(password);
    if let Some(username) = &username {
        api.limit_login(&request, username).await?;
    }
    let agent = user_agent(&request);
    let signed_in = api.accounts.login(username.as_deref(), password, agent).await?;
    Ok(signed_in_response((&api, &request), StatusCode::OK, signed_in, session))
}

/// Replace the tokens of a session. A refresh token is valid for one refresh. A repeat within 30 s, while the new
/// refresh token is unused, returns the same new tokens. Any other reuse ends the session. Without a `refresh_token`
/// the session cookie is used and replaced; it is cleared if it is not valid.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", operation_id = "refreshTokens", request_body = RefreshRequest,
    responses((status = 200, body = RefreshedWire)), security((), ("session" = []))
)]
pub async fn refresh(
    api: web::Data<Api>,
    request: HttpRequest,
    body: Body<RefreshRequest>,
) -> Result<HttpResponse, Problem> {
    if let Some(token) = &body.value.refresh_token {
        let tokens = api.accounts.refresh(token).await?;
        let (tokens, _) = TokensWire::new(tokens, SessionKindWire::Token);
        return Ok(json(StatusCode::OK, &RefreshedWire { tokens }));
    }
    let token = cookie_token(&api, &request, &body)?.ok_or_else(|| {
        Problem::malformed("refresh_token", "is missing, and so is the session cookie")
    })?;
    let tokens = match api.accounts.refresh(&token).await {
        Ok(tokens) => tokens,
        Err(error) => {
            let problem = Problem::from(error);
            // A banned player keeps the cookie, because its session works again after the ban.
            let is_lost = matches!(problem.code(), Code::Unauthenticated | Code::TokenExpired);
            let mut response = HttpResponse::from_error(problem);
            if is_lost {
                session_cookie::clear(&mut response, &request);
            }
            return Ok(response);
        }
    };
    let (tokens, cookie) = TokensWire::new(tokens, SessionKindWire::Cookie);
    let mut response = json(StatusCode::OK, &RefreshedWire { tokens });
    if let Some(token) = cookie {
        session_cookie::set(&mut response, &request, &token, api.accounts.session_ttl());
    }
    Ok(response)
}

/// The token of the session cookie. It is accepted only with a JSON body, which a page of another origin cannot send
/// without permission.
fn cookie_token<T>(
    api: &Api,
    request: &HttpRequest,
    body: &Body<T>,
) -> Result<Option<String>, Problem> {
    let token = session_cookie::refresh_token(request, api)?;
    if token.is_some() && body.raw.is_empty() {
        let detail = "With the session cookie, send {} with the Content-Type application/json.";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    Ok(token)
}

/// End this session. The session is that of the access token or, if there is no token, that of the session cookie. The
/// cookie is cleared. Every instance rejects the session's tokens within two seconds.
#[utoipa::path(
    post, path = "/api/v1/auth/logout", tag = "auth", operation_id = "logOut",
    request_body = LogoutRequest, responses((status = 204)),
    security(("player" = []), ("session" = []))
)]
pub async fn logout(
    api: web::Data<Api>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let MaybeCaller(caller) = MaybeCaller::extract(&request).await?;
    if caller.is_none() && session_cookie::refresh_token(&request, &api)?.is_none() {
        // Fails with the problem of a missing access token.
        Caller::extract(&request).await?;
    }
    let mut payload = payload.into_inner();
    let body = Body::<LogoutRequest>::from_request(&request, &mut payload).await?;
    if let Some(identity) = caller {
        api.accounts.log_out(identity).await?;
    } else if let Some(token) = cookie_token(&api, &request, &body)? {
        api.accounts.log_out_with(&token).await?;
    }
    let mut response = HttpResponse::NoContent().finish();
    session_cookie::clear(&mut response, &request);
    Ok(response)
}

/// List the player's sessions, newest first.
#[utoipa::path(
    get, path = "/api/v1/auth/sessions", tag = "auth", operation_id = "listSessions",
    responses((status = 200, body = Page<SessionWire>)), security(("player" = []))
)]
pub async fn list_sessions(api: web::Data<Api>, caller: Caller) -> Result<HttpResponse, Problem> {
    api.game.note_presence(&caller.handle);
    let sessions = api.accounts.sessions(caller.player()).await?;
    let entries = sessions.into_iter().map(|it| SessionWire::new(it, caller.identity.session));
    Ok(private_json(&Page { entries: entries.collect(), next_cursor: None }))
}

/// End one of the player's sessions.
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions/{id}", tag = "auth", operation_id = "endSession",
    params(("id" = uuid::Uuid, Path)), responses((status = 204)), security(("player" = []))
)]
pub async fn end_session(
    api: web::Data<Api>,
    caller: Caller,
    session: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let session = id(&session, "The player has no such session.")?;
    api.game.note_presence(&caller.handle);
    api.accounts.end_session(caller.player(), session).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// End all sessions of the player except this one.
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions", tag = "auth", operation_id = "endOtherSessions", responses((status = 204)),
    security(("player" = []))
)]
pub async fn end_other_sessions(
    api: web::Data<Api>,
    caller: Caller,
) -> Result<HttpResponse, Problem> {
    api.game.note_presence(&caller.handle);
    api.accounts.end_other_sessions(caller.identity).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Change the password. All other sessions end.
#[utoipa::path(
    post, path = "/api/v1/auth/password", tag = "auth", operation_id = "changePassword", request_body = PasswordRequest,
    responses((status = 204)), security(("player" = []))
)]
pub async fn change_password(
    api: web::Data<Api>,
    caller: Caller,
    body: Body<PasswordRequest>,
) -> Result<HttpResponse, Problem> {
    let PasswordRequest { current_password, new_password } = body.value;
    let new = Password::new(new_password)
        .map_err(|message| Problem::unacceptable("new_password", message))?;
    let current = Password::claimed(current_password);
    api.game.note_presence(&caller.handle);
    api.accounts.change_password(caller.identity, current, new).await?;
    Ok(HttpResponse::NoContent().finish())
}
