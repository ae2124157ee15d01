//! Public data about players.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};

use crate::api::problem::Problem;
use crate::api::wire::ProfileWire;
use crate::game;
use crate::http::extract::id;
use crate::http::{Api, json};

const MISSING: &str = "There is no such player.";

/// Read a player's public profile.
#[utoipa::path(
    get, path = "/api/v1/players/{id}", tag = "game", operation_id = "readProfile", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = ProfileWire))
)]
pub async fn read_profile(
    api: web::Data<Api>,
    player: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let player = id(&player, MISSING)?;
    match api.game.look_up(player).await {
        Ok(state) => Ok(json(StatusCode::OK, &ProfileWire::from(&state))),
        Err(game::Error::NoSuchPlayer) => Err(Problem::not_found(MISSING)),
        Err(error) => Err(error.into()),
    }
}
