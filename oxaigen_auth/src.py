"""Where the published package has its modules, `oxaigen_auth.src.authentication` and others."""

raise ImportError(
    "oxaigen_auth.src does not exist any more: import from oxaigen_auth, which has all public "
    "names of oxaigen_auth.src.authentication; OxaigenException is now OxaigenAuthError"
)
