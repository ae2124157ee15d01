-- store::purge::purge_revocations: deletes revocations that are older than any access token.
delete from revocations where revoked_at < $1
