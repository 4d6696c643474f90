-- As for all clones of a VMClone: any new value has the operator try again.
local os = require("os")
if (((obj.status or {}).retry or {}).failures or 0) == 0 then
  error("status.retry counts no failure: there is nothing to try again", 0)
end
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["vmclone.dev/retry-at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
