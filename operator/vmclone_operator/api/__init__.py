"""The four kinds of vmclone.dev/v1alpha1 as pydantic models; the CRDs in crds/ are generated from them."""

GROUP = "vmclone.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FINALIZER = f"{GROUP}/teardown"
