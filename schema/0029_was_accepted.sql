-- True if an attempt at the message was accepted. Each call looks with a new snapshot, because the function is volatile.
-- So a statement that calls it after it has locked the message also sees what was committed while it waited.
create function was_accepted(message uuid, year smallint) returns boolean
    language plpgsql volatile
as $$
begin
    return exists (
        select from attempts where message_id = message and local_year = year and outcome = 'accepted'
    );
end
$$;
