-- store::catalogues::fill_catalogue_texts: the texts of version $1, unless it has some.
update catalogues set texts = $2 where version = $1 and texts is null
