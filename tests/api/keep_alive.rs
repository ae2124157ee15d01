//! Connections stay open after refusals: a client that has to reconnect costs more than the refused request.

use crate::support::TestApp;

#[tokio::test]
async fn refusing_a_request_before_its_body_is_read_keeps_the_connection_open() {
    let app = TestApp::new().await;
    let ada = app.client.guest().await;
    let valid = format!("Authorization: Bearer {}\r\n", ada.token);
    let invalid = "Authorization: Bearer nonsense\r\n";
    for (line, header, status, code) in [
        ("POST /api/v1/me/clicks", "", 401, "unauthenticated"),
        ("POST /api/v1/me/clicks", invalid, 401, "unauthenticated"),
        ("POST /api/v1/me/nothing", valid.as_str(), 404, "not_found"),
        ("POST /api/v1/catalog", valid.as_str(), 405, "method_not_allowed"),
    ] {
        let request = format!(
            "{line} HTTP/1.1\r\nHost: idlewatt\r\n{header}Content-Type: application/json\r\n\
             Content-Length: 12\r\n\r\n{{\"clicks\":1}}"
        );
        for reply in app.client.send_raw_often(request, 3).await {
            reply.expect_problem(status, code);
        }
    }
}
