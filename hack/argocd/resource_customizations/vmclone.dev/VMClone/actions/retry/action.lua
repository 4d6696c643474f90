-- Any new value has the operator try again; a time tells people when somebody asked.
local os = require("os")
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["vmclone.dev/retry-at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
