-- store::writes::check_writes: what the next statement of the transaction gathers does not fit into memory.
set local work_mem = '64kB'
