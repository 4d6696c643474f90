"""Files that hold secrets, one or more for every family of the filter, and look-alikes that must pass.

Every canary's content names its family, so that a copy can be searched for whatever arrived.
"""

from __future__ import annotations

WORD = "canary-of-vmclone"

_NAMES = {
    "ssh-keys": (
        ".ssh/id_rsa .ssh/id_rsa_backup .ssh/id_github .ssh/github .ssh/work.ppk .ssh/authorized_keys .ssh/known_hosts "
        ".ssh/config .SSH/key .gnupg/secring.gpg .gnupg/private-keys-v1.d/a.key .pgpkey id_rsa backup/id_dsa "
        "old/ID_ECDSA id_ed25519 id_rsa.old deploy_rsa deploy_dsa deploy_ecdsa deploy_ed25519 a.ppk a.pem a.key "
        "a.keypair a.p8 a.p12 a.pfx a.pkcs12 a.jks a.keystore a.keyring a.asc a.ovpn a.kdb a.kdbx a.psafe3 "
        "a.agilekeychain/x b.PEM c.crt sub/authorized_keys"
    ),
    "cloud": (
        ".aws/credentials .aws/sso/cache/a.json .aws/cli/cache/b.json .azure/msal_token_cache.json .azure/token "
        ".gcloud/x .config/gcloud/legacy_credentials/me/adc.json .config/gcloud/credentials.db .oci/config "
        ".aliyun/config.json .bluemix/config.json .config/doctl/config.yaml .fly/config.yml .config/hcloud/cli.toml "
        ".config/scw/config.yaml .config/linode-cli .config/heroku/x .config/netlify/config.json "
        ".config/vercel/auth.json "
        ".boto .s3cfg .s3cmd .passwd-s3fs .config/rclone/rclone.conf .terraform.d/credentials.tfrc.json .terraformrc "
        "infra/terraform.tfstate infra/terraform.tfstate.backup prod.tfvars .pulumi/credentials.json .vault-token"
    ),
    "clusters": (
        ".kube/config .kube/cache/x .docker/config.json .dockercfg .config/containers/auth.json "
        ".config/helm/registry/config.json .config/argocd/config .talos/config"
    ),
    "git": (
        ".git-credentials .git-credential-cache/x .cache/git/credential/socket .config/git/credentials "
        ".config/gh/hosts.yml .config/hub "
        ".config/glab-cli/config.yml .netrc _netrc .npmrc .yarnrc .yarnrc.yml .pypirc .pip/pip.conf "
        ".config/pip/pip.conf "
        ".cargo/credentials "
        ".cargo/credentials.toml .gem/credentials .m2/settings.xml .m2/settings-security.xml "
        ".gradle/gradle.properties .nuget/NuGet/NuGet.Config .composer/auth.json .subversion/auth/svn.simple/a "
        ".config/github-copilot/hosts.json .claude/.credentials.json .codex/auth.json "
        ".vscode-server/data/User/globalStorage/state.vscdb .vscode/x/state.vscdb.backup"
    ),
    "env": (
        ".env .env.local app/.env.production prod.env app/.envrc secrets.yaml secrets.json app/secrets.toml "
        "credentials.json service-account.json service-account-prod.json .htpasswd www/wp-config.php "
        "sftp-config.json filezilla.xml recentservers.xml .pgpass .my.cnf .mylogin.cnf .smbcredentials "
        ".davfs2/secrets .fetchmailrc .msmtprc .muttrc .mutt/passwords"
    ),
    "desktop": (
        ".mozilla/firefox/p/logins.json .mozilla/firefox/p/key4.db .thunderbird/p/x "
        ".config/google-chrome/Default/Cookies "
        ".config/chromium/Default/x .config/BraveSoftware/x .config/microsoft-edge/x "
        ".local/share/keyrings/login.keyring "
        ".local/share/kwalletd/kdewallet.kwl .gnome2/keyrings/x .pki/nssdb/key4.db .password-store/mail.gpg "
        ".config/op/config .config/keybase/x .config/Bitwarden/data.json .config/Bitwarden-CLI/data.json "
        "login.keychain login.keychain-db .ecryptfs/wrapped .Private/x"
    ),
    "history": (
        ".bash_history .zsh_history .mysql_history .psql_history .rediscli_history .histfile .history .lesshst "
        ".viminfo "
        ".local/share/fish/fish_history .python_history .node_repl_history .sqlite_history .irb_history"
    ),
    "machine-bound": ".Xauthority .ICEauthority .dbus/session-bus/x .config/pulse/cookie",
}
NAMES = {family: names.split() for family, names in _NAMES.items()}
"""Names that are left out whatever is in them."""

_BODY = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ" * 2


def _block(kind: str) -> str:
    return f"-----BEGIN {kind}-----\n{_BODY}\n-----END {kind}-----\n"


_PRIVATE = "PRIVATE" + " KEY"
CONTENTS: dict[str, str] = {
    "an OpenSSH key": _block(f"OPENSSH {_PRIVATE}"),
    "an RSA key": _block(f"RSA {_PRIVATE}"),
    "an EC key": _block(f"EC {_PRIVATE}"),
    "a PKCS8 key": _block(_PRIVATE),
    "an encrypted key": _block(f"ENCRYPTED {_PRIVATE}"),
    "a PGP key": f"-----BEGIN PGP {_PRIVATE} BLOCK-----\nVersion: 1\n\n{_BODY}\n",
    "an indented key": "key: |\n    " + _block(_PRIVATE).replace("\n", "\n    "),
    "a key in JSON": '{"key": "' + _block(_PRIVATE).replace("\n", "\\n") + '"}',
    "a PuTTY key": "PuTTY-User-Key-File-3: ssh-ed25519\n",
    "an AWS key id": "key = AKIA" + "QWERTYUIOPASDFGH\n",
    "a temporary AWS key id": "ASIA" + "QWERTYUIOPASDFGH",
    **{f"a gh{kind} token": f"token gh{kind}_" + "a1B2" * 9 for kind in "pousr"},
    "a fine-grained token": "github_pat_" + "A1b2" * 10,
    "a GitLab token": "glpat-" + "a1b2c3d4e5f6g7h8i9j0",
    **{f"an xox{kind} token": f"xox{kind}-" + "1234567890-abcdef" for kind in "bpas"},
    "a Google token": "ya29." + "a0AfB_by" * 4,
    "an Azure key": "DefaultEndpointsProtocol=https;AccountKey=" + "abcdEFGH" * 8,
    "a password in a URL": "url = https://bob:hunter22@git.example.com/x.git",
    "a password in a database URL": "postgres://svc:S3cr3t@db/x",
    "an encoded password in a URL": "amqp://me%40x:a%24b%2Ac@mq/x",
    "an AWS secret": "aws_secret_access_key = " + "abcdEFGH12" * 4,
    "an AWS secret of an environment": "export AWS_SECRET_ACCESS_KEY='" + "abcdEFGH12" * 4 + "'",
    "an AWS secret in JSON": '{"SecretAccessKey": "' + "abcdEFGH12" * 4 + '"}',
    "a Google key": "AIza" + "a1B2c" * 7,
    "an age key": "AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN",
    "a shared access key": "Endpoint=sb://x/;SharedAccessKey=" + "abcdEFGH" * 4,
    "an npm token": "npm_" + "a1B2c3" * 6,
    "an npm login": "//registry.example.com/:_authToken=" + "a1b2c3d4" * 3,
    "a package index token": "pypi-Ag" + "EIcHlwaS5vcmcCJ" * 2,
    "a Stripe key": "sk" + "_live_" + "a1B2c3D4" * 3,
    "a restricted Stripe key": "rk" + "_live_" + "a1B2c3D4" * 3,
    "a Vault token": "hvs." + "CAESIa1B2" * 4,
}
"""Contents that are left out whatever the file is called."""


def secret_files() -> dict[str, tuple[str, str]]:
    """Return path -> (family, content) of every canary."""
    files = {name: (family, f"{WORD} {family} {name}\n") for family, names in NAMES.items() for name in names}
    for number, content in enumerate(CONTENTS.values()):
        files[f"notes/plain {number}.txt"] = ("content", f"{content}\n# {WORD} content\n")
        files[f"notes/conf{number}"] = ("content", f"# {WORD} content\n{content}\n")
    return files


CERTIFICATE = "# Issuer: somebody\n" + _block("CERTIFICATE") + _block("CERTIFICATE")
PASSES: dict[str, str] = {
    ".bashrc": "export EDITOR=vi\n",
    ".profile": "umask 022\n",
    "cacert.pem": CERTIFICATE,
    "venv/lib/python3.11/site-packages/certifi/cacert.pem": CERTIFICATE,
    "venv/lib/python3.11/site-packages/pkg/secrets.py": "def get(): ...\n",
    "ca.crt": CERTIFICATE,
    "id_ed25519.pub": "ssh-ed25519 AAAA me\n",
    "src/credentials.py": "class Credentials: ...\n",
    "src/keys.py": f'START = b"-----BEGIN OPENSSH {_PRIVATE}-----"\nEND = b"-----END OPENSSH {_PRIVATE}-----"\n',
    "src/urls.py": "# like http://user:pass@host:8080/ or {scheme}://{user}:{password}@{host}\n",
    "docs/environment": "x\n",
    "history.md": "x\n",
    "monkey": "x\n",
    "keyboard.txt": "x\n",
    ".config/git/config": "[user]\nname = me\n",
    ".gitconfig": "[user]\nname = me\n",
    ".cargo/config.toml": "x\n",
    ".docker/contexts": "x\n",
    ".vscode/settings.json": "{}\n",
}
"""What looks like a secret and is none."""
