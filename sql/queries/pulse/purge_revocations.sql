-- store::purge::purge_revocations: deletes revocations before $1, which are older than every valid access token.
delete from revocations where revoked_at < $1
