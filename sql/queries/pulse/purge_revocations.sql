-- store::purge::purge_revocations: forgets revocations older than any access token.
delete from revocations where revoked_at < $1
