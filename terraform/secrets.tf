# Values are write-only: they pass through Terraform without reaching plan or state.

locals {
  secrets = {
    django-secret-key     = { description = "Django's SECRET_KEY: signs sessions, seals interaction tokens." }
    discord-bot-token     = { description = "The Discord bot's token." }
    discord-client-secret = { description = "Discord's OAuth2 client secret, for logging in to the site." }
    huggingface-token     = { description = "Hugging Face read token, for gated models." }
  }
}

resource "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  name        = "${local.name}/${each.key}"
  description = each.value.description
  # A destroyed deployment can be made again under the same name at once, unless it is protected.
  recovery_window_in_days = var.deletion_protection ? 7 : 0
}

# Written once: sessions, sealed tokens and the names of pictures depend on it.
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

# Secrets Manager refuses an empty string, and a task refuses a secret without a value: a hyphen says "none".
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
