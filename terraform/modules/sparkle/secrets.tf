# Values are write-only: Terraform stores them neither in the plan nor in the state.

locals {
  secrets = merge({
    django-secret-key     = { description = "Django's SECRET_KEY: signs sessions and encrypts interaction tokens." }
    discord-bot-token     = { description = "The Discord bot's token." }
    discord-client-secret = { description = "Discord's OAuth2 client secret, for signing in to the site." }
    huggingface-token     = { description = "Hugging Face read token, for gated models." }
    }, var.metrics ? {
    metrics-token = { description = "Bearer token for the site's /metrics." }
  } : {})
}

resource "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  name        = "${local.name}/${each.key}"
  description = each.value.description
  # Without protection, a destroyed deployment can be created again at once under the same name.
  recovery_window_in_days = var.deletion_protection ? 7 : 0
}

# Written once: sessions, encrypted tokens and the names of image files depend on it.
resource "aws_secretsmanager_secret_version" "django" {
  secret_id                = aws_secretsmanager_secret.this["django-secret-key"].id
  secret_string_wo         = var.django_secret_key
  secret_string_wo_version = 1
}

resource "aws_secretsmanager_secret_version" "discord_bot" {
  secret_id                = aws_secretsmanager_secret.this["discord-bot-token"].id
  secret_string_wo         = var.discord_bot_secret
  secret_string_wo_version = var.secrets_version
}

# Secrets Manager refuses an empty string, and a task refuses a secret without a value, so a hyphen means "none".
resource "aws_secretsmanager_secret_version" "discord_client" {
  secret_id                = aws_secretsmanager_secret.this["discord-client-secret"].id
  secret_string_wo         = var.discord_client_secret == "" ? "-" : var.discord_client_secret
  secret_string_wo_version = var.secrets_version
}

resource "aws_secretsmanager_secret_version" "huggingface" {
  secret_id                = aws_secretsmanager_secret.this["huggingface-token"].id
  secret_string_wo         = var.huggingface_token == "" ? "-" : var.huggingface_token
  secret_string_wo_version = var.secrets_version
}

resource "aws_secretsmanager_secret_version" "metrics" {
  count = var.metrics ? 1 : 0

  secret_id                = aws_secretsmanager_secret.this["metrics-token"].id
  secret_string_wo         = var.metrics_token
  secret_string_wo_version = var.secrets_version
}
