"""Every setting of Laurel, in one file; what differs between machines comes from the environment."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

from config import environment as env

ROOT = Path(__file__).resolve().parent.parent

# --- Where we are ------------------------------------------------------------------------------
PRODUCTION = env.one_of("LAUREL_MODE", ("embedded", "production")) == "production"
DEBUG = env.flag("LAUREL_DEBUG", default=False)
LAUREL_HOME = Path(env.text("LAUREL_HOME", str(ROOT / "var"))).resolve()
STORE_ROOT = LAUREL_HOME / "store"
RUNS_ROOT = LAUREL_HOME / "runs"
LAUREL_HOME.mkdir(parents=True, exist_ok=True)

SECRET_KEY = env.secret("LAUREL_SECRET_KEY", kept_in=None if PRODUCTION else LAUREL_HOME / "secret_key")
ALLOWED_HOSTS = env.words(
    "LAUREL_ALLOWED_HOSTS", () if PRODUCTION else ("127.0.0.1", "localhost", "[::1]", "testserver")
)
CSRF_TRUSTED_ORIGINS = env.words("LAUREL_TRUSTED_ORIGINS")
MODEL_SERVER_URL = env.address("LAUREL_MODEL_SERVER_URL", "http://127.0.0.1:8001")
REWARD_URLS = env.words("LAUREL_REWARD_URLS")  # addresses that PPO may send responses to, to have them judged
REWARD_AUTHORIZATION = env.text("LAUREL_REWARD_AUTHORIZATION")  # trainers read it from their environment
SAMPLE_SERVERS = env.words("LAUREL_SAMPLE_SERVERS")  # servers that sampling jobs may send prompts to
SAMPLE_SERVER_KEY = env.text("LAUREL_SAMPLE_SERVER_KEY")  # trainers read it from their environment
CODE_REVISION = env.text("LAUREL_CODE_REVISION")
GPU_KINDS = env.words("LAUREL_GPU_KINDS")  # kinds of job that only workers of the queue `gpu` do
TRAINER_DEVICE = env.one_of("LAUREL_DEVICE", ("auto", "cpu", "cuda"))
TRAINER_THREADS = env.number("LAUREL_TRAINER_THREADS", 0)

# --- Rooms -------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "axes",
    "csp",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "config",
    "training",
    "labeling",
    "rewardmodel",
    "policy",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.pages.Files",
    "config.pages.ContentPolicy",
    "config.unstorable.StorableQuery",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "training.sessions.WhoAsks",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Data --------------------------------------------------------------------------------------
DATABASE_VARIABLE = "LAUREL_DATABASE_URL" if env.text("LAUREL_DATABASE_URL") else "DATABASE_URL"
WEB_THREADS = env.number("LAUREL_DATABASE_POOL", 16, least=1)  # of a web process: as many as it may have connections
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.database(DATABASE_VARIABLE, LAUREL_HOME / "db.sqlite3", pool_size=WEB_THREADS),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.redis("LAUREL_REDIS_URL") or env.redis("REDIS_URL")
REDIS_PREFIX = env.text("LAUREL_REDIS_PREFIX", "laurel:")
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": REDIS_PREFIX,
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 2**20

# --- The doorbell ------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL or f"sqla+sqlite:///{LAUREL_HOME / 'broker.sqlite3'}"
CELERY_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": REDIS_PREFIX} if REDIS_URL else {}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False  # the claim makes a job single, and the sweeper finds a lost delivery
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TIMEZONE = "UTC"
CELERY_IMPORTS = ["training.worker"]
CELERY_WORKER_POOL = "threads"  # so that a shutdown reaches the launcher while it follows a trainer

# --- People ------------------------------------------------------------------------------------
AUTH_USER_MODEL = "training.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
AXES_LOCKOUT_CALLABLE = "config.errors.locked_out"
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 30 * 24 * 3600
SESSION_ENGINE = "training.sessions"
LOGIN_URL = "/sign-in"

# --- Transport and content ---------------------------------------------------------------------
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION
SECURE_SSL_REDIRECT = PRODUCTION and env.flag("LAUREL_SSL_REDIRECT", default=True)
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.flag("LAUREL_BEHIND_PROXY", default=False) else None
)
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

# --- API ---------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.unstorable.StorableJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.errors.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {"TOKEN_TTL": timedelta(days=365), "AUTH_HEADER_PREFIX": "Token"}
SPECTACULAR_SETTINGS = {
    "TITLE": "Laurel",
    "DESCRIPTION": "People judge, a reward model learns, PPO improves the policy, and people judge again.",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.openapi.describe_refusals",
    ],
    "ENUM_NAME_OVERRIDES": {
        "RoleEnum": "training.models.Membership.Role",
        "TaskKindEnum": "labeling.models.Kind",
        "CheckpointKindEnum": "training.models.Checkpoint.Kind",
        "DatasetKindEnum": "training.models.Dataset.Kind",
        "JobStateEnum": "training.models.Job.State",
        "OutcomeEnum": "training.models.Attempt.Outcome",
        "TriggerEnum": "training.models.Schedule.Trigger",
        "TaskStateEnum": "labeling.models.Task.State",
        "PurposeEnum": "labeling.models.Task.Purpose",
        "KnownPurposeEnum": ["gold", "qualification"],
        "QualificationStateEnum": "labeling.models.Qualification.State",
        "DecisionEnum": ["passed", "again"],
        "StandingEnum": "labeling.models.Standing",
        "ReviewEnum": ["accepted", "returned"],
        "TurnEnum": ["system", "user", "assistant"],
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}

# --- Pages -------------------------------------------------------------------------------------
FRONT_END = ROOT / "frontend" / "dist"
STATIC_URL = "/static/"
STATIC_ROOT = LAUREL_HOME / "static"
STATIC_ROOT.mkdir(exist_ok=True)
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False  # config.pages.Files looks for what a new build brings


def WHITENOISE_IMMUTABLE_FILE_TEST(path: str, url: str) -> bool:  # noqa: ARG001, N802 (WhiteNoise's names)
    """Files that the front end's build names after their content may be kept for ever."""
    return bool(re.search(r"/assets/.+-[\w-]{8}\.\w+$", url))


# --- Language, time, logs ----------------------------------------------------------------------
LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.one_of("LAUREL_LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR"))},
    "loggers": {
        "celery": {"level": "WARNING"},
        "axes": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        "httpx": {"level": "WARNING"},
    },
}
