"""An error for imports from `oxaigen_auth.src`, where the published package has its modules."""

raise ImportError(
    "oxaigen_auth.src does not exist any more: import from oxaigen_auth, which has all public "
    "names of oxaigen_auth.src.authentication; OxaigenException is now OxaigenAuthError"
)
