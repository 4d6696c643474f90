-- What a person may ask of a VMClone: pause, resume, retry, sync-home, approve. An action that would do nothing
-- now is disabled. Like the health script it needs nothing but `obj`.
local actions = {}
local spec = obj.spec or {}
local status = obj.status or {}
local annotations = obj.metadata.annotations or {}
local plan = status.plan or {}
local waits = (spec.plan or {}).mode == "Manual" and (plan.hash or "") ~= ""

actions["pause"] = { disabled = spec.paused == true }
actions["resume"] = { disabled = spec.paused ~= true }
actions["retry"] = { disabled = false }
actions["sync-home"] = { disabled = (spec.homeCopy or {}).refresh ~= "OnRequest" }
-- A plan made for an earlier spec is not offered: nobody would know which of the two is approved.
actions["approve"] = {
  disabled = not waits
    or status.observedGeneration ~= obj.metadata.generation
    or annotations["vmclone.dev/approved-plan"] == plan.hash,
}
return actions
