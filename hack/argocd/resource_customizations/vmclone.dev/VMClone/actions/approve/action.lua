-- The hash names exactly one plan: where the operator has made another one meanwhile, this approves nothing.
local hash = ((obj.status or {}).plan or {}).hash or ""
if hash == "" then
  error("status.plan.hash is empty: there is no plan to approve", 0)
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  error("status.plan is of an earlier spec: wait until the operator has planned the present one", 0)
end
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["vmclone.dev/approved-plan"] = hash
return obj
