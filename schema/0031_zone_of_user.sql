-- The time zone of a user, or null. Each call looks with a new snapshot, because the function is volatile. So a statement
-- that waited for the edit of a zone sees it, without a lock of the user.
create function zone_of_user(who uuid) returns text
    language plpgsql volatile
as $$
begin
    return (select timezone from users where id = who);
end
$$;
